"""The edge on a socket: uvicorn inside the current event loop."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from litestar import Litestar

from contracts.errors import ParleyError
from edge.config import EdgeConfig
from edge.request_context import EdgeApp

_log = structlog.get_logger()
_BACKLOG = 2_048
_UNACKNOWLEDGED_MS = 60_000


class CannotListen(ParleyError):
    """The address can't be had; the message says why and what to do."""


class _Server(uvicorn.Server):
    """uvicorn, less its signal handlers: who runs the process decides what a signal means."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class EdgeServer:
    """Serves an application until stopped. An actor in the sense of the host: `run`, `stop`."""

    def __init__(self, app: Litestar, config: EdgeConfig) -> None:
        self._app = app
        self._config = config
        self._socket: socket.socket | None = None
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
        self._server = _Server(options)

    def bind(self) -> int:
        """Take the port and return it (of interest where the configuration says 0).

        Raises:
            CannotListen: in one sentence, with what to do.
        """
        if self._socket is None:
            self._socket = _listen(self._config.host, self._config.port)
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
            self._socket.close()
        if not self._server.started:
            raise CannotListen("The edge could not start; its log says why.")

    async def stop(self) -> None:
        """Take no new request, close the event streams so that their readers go elsewhere,
        let the others finish for `shutdown_grace_s`."""
        self._server.should_exit = True
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


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it: a peer that takes nothing is dropped by the kernel.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(_why(error, host, port)) from error
    listener.setblocking(False)
    return listener


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken; choose another with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} needs privileges; choose one from 1024 on with --port."
    return f"Can't listen on {host}:{port}: {error.strerror}; choose another with --host, --port."
