"""One row per route: what Litestar routes by and what `/openapi.json` says of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from litestar import Request, delete, get, patch, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Answer = Callable[..., Awaitable[ASGIApp]]
AnyRequest = Request[Any, Any, Any]

_DECORATORS = {"GET": get, "POST": post, "PUT": put, "PATCH": patch, "DELETE": delete}


def arrived_s(request: AnyRequest) -> float:
    """Return when the request arrived, in seconds of `time.monotonic`."""
    arrived: float = request.scope["state"]["arrived_s"]
    return arrived


@dataclass(frozen=True, slots=True)
class Route:
    """A method, a path and the coroutine function (of one argument, `request`) that answers.

    `body` is the struct that it takes; `query` the parameters that it knows; `public` needs
    no proof of who asks; `shown` False keeps it out of the documents. `form` is the file field
    of the form that it takes instead, `body_max` bounds a body in bytes (0: as all are).
    """

    method: Method
    path: str
    answer: Answer
    summary: str
    body: type | None = None
    query: tuple[str, ...] = ()
    public: bool = False
    shown: bool = True
    form: str = ""
    body_max: int = 0


def handlers(routes: Sequence[Route]) -> list[HTTPRouteHandler]:
    """Return the routes as Litestar's handlers. Each answer is an ASGI application, so the
    status code belongs to it and the one given here is never sent."""
    return [_handler(route) for route in routes]


def _handler(route: Route) -> HTTPRouteHandler:
    limit = {"request_max_body_size": route.body_max} if route.body_max else {}
    decorate = _DECORATORS[route.method](route.path, status_code=200, **limit)
    handler: HTTPRouteHandler = decorate(route.answer)
    return handler
