"""Refusals as OpenAI's clients know them: status, type, code, and what their retries go by.

Source: the error guide of OpenAI's API reference, and what its SDKs retry by themselves:
connection errors, 408, 409, 429 and 5xx, unless `x-should-retry` says otherwise, after
`retry-after-ms` or `retry-after` where the wait is at most a minute.
"""

from typing import Any

import msgspec
from litestar import Request, Response

from contracts.errors import ErrorCode, Problem
from edge import problems
from edge.problems import FieldError, InvalidRequest, problem_headers, reported, retry_after_ms

RETRY_MAX_MS = 60_000
_VERSION = b"2020-10-01"

_FORMS: dict[ErrorCode, tuple[int, str, str]] = {
    "bad_request": (400, "invalid_request_error", "bad_request"),
    "unauthenticated": (401, "invalid_request_error", "invalid_api_key"),
    "forbidden": (403, "invalid_request_error", "insufficient_permissions"),
    "unsupported_media_type": (400, "invalid_request_error", "unsupported_media_type"),
    "idempotency_mismatch": (400, "invalid_request_error", "idempotency_mismatch"),
    "invalid_value": (400, "invalid_request_error", "invalid_value"),
    "unknown_model": (404, "invalid_request_error", "model_not_found"),
    "prompt_too_long": (400, "invalid_request_error", "context_length_exceeded"),
    "engine_error": (400, "invalid_request_error", "refused_by_engine"),
    "rate_limited": (429, "requests", "rate_limit_exceeded"),
    "over_budget": (429, "tokens", "rate_limit_exceeded"),
}
"""Where they differ from Parley's own; every other code keeps its name and status."""

_HOPELESS: frozenset[ErrorCode] = frozenset(("cannot_resume", "conflict"))
"""Statuses that a client would retry, for requests that would end the same way again."""


class Unsupported(InvalidRequest):
    """A parameter that can't be honoured."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}", (FieldError(field=name, message=why),))


def status_of(problem: Problem) -> int:
    """Return the HTTP status under which OpenAI's clients expect the problem."""
    form = _FORMS.get(problem.code)
    return form[0] if form is not None else problem.status


def openai_error(
    problem: Problem, param: str | None = None, *, unsupported: bool = False
) -> dict[str, Any]:
    """Return the body; `unsupported`: the value is fine, only not here."""
    usual = "server_error" if problem.status >= 500 else "invalid_request_error"
    _, kind, code = _FORMS.get(problem.code, (0, usual, problem.code))
    if unsupported:
        code = "unsupported_parameter"
    return {"error": {"message": problem.detail, "type": kind, "param": param, "code": code}}


def openai_headers(problem: Problem) -> dict[str, str]:
    """Return the headers of a refusal, with what tells a client's retries whether and when."""
    status, wait_ms = status_of(problem), retry_after_ms(problem)
    retryable = status in (408, 409, 429) or status >= 500
    soon = wait_ms is None or wait_ms <= RETRY_MAX_MS
    retry = retryable and soon and problem.code not in _HOPELESS
    headers = problem_headers(problem) | {"x-should-retry": "true" if retry else "false"}
    if wait_ms is not None:
        headers["retry-after-ms"] = str(max(1, wait_ms))
    return headers


def openai_marks(took_ms: int) -> list[tuple[bytes, bytes]]:
    """Return what every answer under `/v1` carries: how long it took until it began, and the
    version of the API that it follows."""
    return [
        (b"openai-processing-ms", str(took_ms).encode()),
        (b"openai-version", _VERSION),
    ]


def answer_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer any exception, in OpenAI's form under `/v1` (Litestar's exception handler)."""
    if not request.scope["path"].startswith("/v1/"):
        return problems.answer_exception(request, error)
    problem, errors, headers = reported(request, error)
    param = errors[0].field if errors else None
    body = openai_error(problem, param, unsupported=isinstance(error, Unsupported))
    return Response(
        msgspec.json.encode(body),
        status_code=status_of(problem),
        media_type="application/json",
        headers=headers | openai_headers(problem),
    )
