"""`/openapi.json` and `/docs`, from the table of routes."""

import html
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar.types import ASGIApp

from contracts.errors import STATUS
from edge.page import HTML, REVALIDATE, PageFile
from edge.routes import AnyRequest, Route

_TYPED = re.compile(r"\{(\w+):\w+\}")
_FILE = {"type": "string", "format": "binary"}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(STATUS)},
        "requestId": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "retryAfterMs": {"type": "integer"},
        "runId": {"type": "string"},
    },
}
_OPENAI_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


class Documents:
    """Describes the routes that it is given, and its own."""

    def __init__(self, routes: Sequence[Route], version: str) -> None:
        self._routes = [route for route in (*routes, *self.routes()) if route.shown]
        description = msgspec.json.encode(openapi(self._routes, version))
        self._openapi = PageFile(description, "application/json", REVALIDATE)
        self._docs = PageFile(docs(self._routes).encode(), HTML, REVALIDATE)

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        return [
            Route("GET", "/openapi.json", self.openapi, "This API, for machines", public=True),
            Route("GET", "/docs", self.docs, "This API, for people", public=True),
        ]

    async def openapi(self, request: AnyRequest) -> ASGIApp:
        """GET /openapi.json."""
        return self._openapi.answer(request)

    async def docs(self, request: AnyRequest) -> ASGIApp:
        """GET /docs."""
        return self._docs.answer(request)


def _path(route: Route) -> str:
    def camel(match: re.Match[str]) -> str:
        head, *rest = match[1].split("_")
        return "{" + head + "".join(word.title() for word in rest) + "}"

    return _TYPED.sub(camel, route.path)


def openapi(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description."""
    bodies = [route.body for route in routes if route.body is not None]
    schemas, components = msgspec.json.schema_components(
        bodies, ref_template="#/components/schemas/{name}"
    )
    schema_of = dict(zip(bodies, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = _path(route)
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"\{(\w+)\}", path)
        ] + [{"name": name, "in": "query", "schema": {"type": "string"}} for name in route.query]
        operation: dict[str, Any] = {
            "summary": route.summary,
            "operationId": f"{route.method.lower()}{re.sub(r'[^A-Za-z0-9]+', '_', path)}",
            "parameters": parameters,
            "responses": {
                "2XX": {"description": "Done"},
                **{str(status): _refusal(route, status) for status in refusals(route)},
            },
        }
        if route.body is not None:
            content = {"application/json": {"schema": schema_of[route.body]}}
            operation["requestBody"] = {"content": content}
        if route.form:
            file = {"type": "object", "required": [route.form], "properties": {route.form: _FILE}}
            operation["requestBody"] = {"content": {"multipart/form-data": {"schema": file}}}
        if route.public:
            operation["security"] = []
        paths.setdefault(path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Parley", "version": version},
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _PROBLEM, "OpenAiError": _OPENAI_ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "parley_session"},
            },
        },
        "security": [{"bearer": []}, {"cookie": []}],
    }


def refusals(route: Route) -> list[int]:
    """Return the statuses with which a route may refuse, by what it takes and does."""
    statuses = {403, 503}
    if not route.public or route.body is not None:
        statuses.add(401)
    if route.query:
        statuses |= {400, 422}
    if route.body is not None or route.form:
        statuses |= {400, 404, 413, 415, 422}
    if "{" in route.path:
        statuses |= {400, 404}
    if route.method != "GET":
        statuses |= {409, 429}
    return sorted(statuses)


def _refusal(route: Route, status: int) -> dict[str, Any]:
    """Return how a refusal looks: a problem document, on `/v1` an error of OpenAI's form."""
    openai = route.path.startswith("/v1/")
    kind = "OpenAiError" if openai else "Problem"
    media_type = "application/json" if openai else "application/problem+json"
    titles = dict.fromkeys(title for _, (code, title) in STATUS.items() if code == status)
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{kind}"}}}
    return {"description": "; ".join(titles), "content": content}


def docs(routes: Sequence[Route]) -> str:
    """Return a plain page: the routes, and what each error code means."""
    rows = "".join(
        f"<tr><td><code>{route.method}</code><td><code>{html.escape(_path(route))}</code>"
        f"<td>{html.escape(route.summary)}"
        for route in routes
    )
    errors = "".join(
        f'<tr id="{code}"><td><code>{code}</code><td>{status}<td>{html.escape(title)}'
        for code, (status, title) in STATUS.items()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Parley: the API</title>'
        '<h1>The API</h1><p>For machines: <a href="/openapi.json">/openapi.json</a>. Prove who'
        " you are with <code>Authorization: Bearer</code> and a session token or an API key.</p>"
        f"<table><tr><th>Method<th>Path<th>Does{rows}</table>"
        "<h2>Errors</h2><p>Problem documents (RFC 9457); on <code>/v1</code> OpenAI's form with"
        f" the same codes.</p><table><tr><th>Code<th>Status<th>Means{errors}</table></html>"
    )
