"""Refusals as HTTP answers: RFC 9457 problem documents (`openai_errors` has those of `/v1`)."""

import math
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from contracts.errors import (
    STATUS,
    BusError,
    ErrorCode,
    HistoryUnavailable,
    ParleyError,
    Problem,
    Refused,
)
from contracts.ports.files import FilesUnavailable

_log = structlog.get_logger()

PROBLEM_TYPE = "application/problem+json"
UNAVAILABLE_RETRY_MS = 1_000

_CODE_OF_STATUS: dict[int, ErrorCode] = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_value",
    429: "rate_limited",
    503: "unavailable",
}


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field; `field` is its path, '' for the body itself."""

    field: str
    message: str


class InvalidRequest(ParleyError):
    """A request that can't be read or has a value out of range; nothing was done."""

    def __init__(
        self, detail: str, errors: tuple[FieldError, ...] = (), *, code: ErrorCode = "invalid_value"
    ) -> None:
        super().__init__(detail)
        self.code: ErrorCode = code
        self.detail = detail
        self.errors = errors


def refuse(code: ErrorCode, detail: str, **fields: Any) -> Refused:
    """Return the refusal to raise; `fields` are the other fields of `Problem`."""
    return Refused(Problem(code=code, detail=detail, **fields))


def problem_document(
    problem: Problem, *, request_id: str = "", errors: tuple[FieldError, ...] = ()
) -> dict[str, Any]:
    """Return the RFC 9457 form of a problem; `type` leads to its explanation in `/docs`."""
    document: dict[str, Any] = {
        "type": f"/docs#{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "errors": errors,
    }
    if request_id:
        document["requestId"] = request_id
    wait_ms = retry_after_ms(problem)
    if wait_ms is not None:
        document["retryAfterMs"] = wait_ms
    if problem.active_run_id is not None:
        document["runId"] = problem.active_run_id
        document["activeRunId"] = problem.active_run_id
    return document


def problem_headers(problem: Problem) -> dict[str, str]:
    """Return the headers that belong to a problem."""
    headers = {"cache-control": "no-store"}
    wait_ms = retry_after_ms(problem)
    if wait_ms is not None:
        headers["retry-after"] = str(max(1, math.ceil(wait_ms / 1000)))
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    return headers


def retry_after_ms(problem: Problem) -> int | None:
    """Return when to try again: every 503 says so, whoever refused."""
    if problem.retry_after_ms is None and problem.status == 503:
        return UNAVAILABLE_RETRY_MS
    return problem.retry_after_ms


def problem_of(error: Exception) -> tuple[Problem, tuple[FieldError, ...]]:
    """Return what a client is told about any exception of a handler."""
    match error:
        case Refused():
            return error.problem, ()
        case InvalidRequest():
            return Problem(code=error.code, detail=error.detail), error.errors
        case FilesUnavailable():
            detail = "Files can't be reached just now; try again."
        case HistoryUnavailable():
            detail = "History can't be reached just now; try again."
        case BusError():
            detail = "The message system can't be reached just now; try again."
        case HTTPException():
            code = _CODE_OF_STATUS.get(error.status_code, "internal")
            detail = error.detail if error.status_code < 500 else STATUS[code][1]
            return Problem(code=code, detail=detail or STATUS[code][1]), ()
        case _:
            return Problem(code="internal", detail="Something broke here; it was logged."), ()
    return (
        Problem(code="unavailable", detail=detail, retry_after_ms=UNAVAILABLE_RETRY_MS),
        (),
    )


def answer_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer any exception of a handler or of routing (Litestar's exception handler)."""
    problem, errors, headers = reported(request, error)
    request_id = request_id_of(request)
    return Response(
        msgspec.json.encode(problem_document(problem, request_id=request_id, errors=errors)),
        status_code=problem.status,
        media_type=PROBLEM_TYPE,
        headers=headers,
    )


def request_id_of(request: Request[Any, Any, Any]) -> str:
    """Return the id under which a request is logged and answered."""
    request_id: str = request.scope.get("state", {}).get("request_id", "")
    return request_id


def reported(
    request: Request[Any, Any, Any], error: Exception
) -> tuple[Problem, tuple[FieldError, ...], dict[str, str]]:
    """Return what a client is told of an exception, with the headers; log what is our fault."""
    problem, errors = problem_of(error)
    if problem.code == "internal":
        _log.error("request.broke", request_id=request_id_of(request), exc_info=error)
    headers = problem_headers(problem)
    if isinstance(error, HTTPException) and error.status_code == 405:
        headers.update({k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"})
    return problem, errors, headers
