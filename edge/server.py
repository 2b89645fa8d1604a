"""The edge on a socket: uvicorn inside the current event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from litestar import Litestar

from edge.config import EdgeConfig
from edge.listening import CannotListen, listen
from edge.request_context import EdgeApp

_LAST_ANSWERS_S = 0.3
_CLOSED_S = 0.05
"""Less than uvicorn's own pause (0.1 s) before it waits for what is being answered."""


class _Server(uvicorn.Server):
    """uvicorn, less its signal handlers: who runs the process decides what a signal means.

    At the shutdown nothing new is accepted, and for a moment each answer says that it is its
    connection's last, so that no client sends a request just when its connection is closed.
    Then those that are idle are closed, and `closing` is called: a stream that it ends sends its
    reader elsewhere, and not over another connection to an edge that must refuse it.
    """

    def __init__(self, config: uvicorn.Config, closing: Callable[[], None]) -> None:
        super().__init__(config)
        self._closing = closing
        self.servers = []  # uvicorn has no such list before it has started its listeners

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def close_listeners(self) -> None:
        """Accept nothing more."""
        for server in self.servers:
            server.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.close_listeners()
        self.server_state.default_headers = [
            *self.server_state.default_headers,
            (b"connection", b"close"),
        ]
        await asyncio.sleep(_LAST_ANSWERS_S)
        ending = asyncio.ensure_future(super().shutdown(sockets))
        await asyncio.sleep(_CLOSED_S)
        self._closing()
        await ending


class EdgeServer:
    """Serves an application until stopped. An actor in the sense of the host: `run`, `stop`."""

    def __init__(
        self, app: Litestar, config: EdgeConfig, listener: socket.socket | None = None
    ) -> None:
        """`listener`: a socket that listens already, instead of one of its own."""
        self._app = app
        self._config = config
        self._socket = listener
        options = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=config.connections_max,
            timeout_keep_alive=65,
            timeout_graceful_shutdown=max(1, round(config.shutdown_grace_s)),
        )
        self._server = _Server(options, self._end_streams)

    def bind(self) -> int:
        """Take the port and return it (of interest where the configuration says 0).

        Raises:
            CannotListen: in one sentence, with what to do.
        """
        if self._socket is None:
            self._socket = listen(self._config.host, self._config.port)
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def serving(self) -> bool:
        """True once connections are answered."""
        return bool(self._server.started)

    async def run(self) -> None:
        """Serve until `stop`. Raises CannotListen."""
        self.bind()
        assert self._socket is not None, "bound above"
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._server.close_listeners()
            self._socket.close()
        if not self._server.started:
            raise CannotListen("The edge could not start; its log says why.")

    async def stop(self) -> None:
        """Take no new request, close the event streams so that their readers go elsewhere,
        let the others finish for `shutdown_grace_s`."""
        self._server.should_exit = True

    def _end_streams(self) -> None:
        if isinstance(self._app, EdgeApp):
            self._app.streams.end_all()


async def serve(app: Litestar, config: EdgeConfig) -> None:
    """Serve `app` until cancelled, then end gracefully.

    Raises:
        CannotListen: the port is taken or may not be used.
    """
    server = EdgeServer(app, config)
    serving = asyncio.ensure_future(server.run())
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        await server.stop()
        await serving
        raise
