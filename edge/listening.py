"""The socket on which an edge listens, its own or one that its supervisor holds for it."""

import errno
import os
import socket

from contracts.errors import ParleyError

VARIABLE = "PARLEY_LISTEN_FD"
"""Names the descriptor of a socket that listens already. Who holds it while an edge is started
again keeps its clients waiting for a moment, where they would be refused otherwise."""

_BACKLOG = 2_048
_UNACKNOWLEDGED_MS = 60_000
_UNSENT_BYTES = 16_384


class CannotListen(ParleyError):
    """The address can't be had; the message says why and what to do."""


def inherited() -> socket.socket | None:
    """Return the socket that the supervisor provided, None if there is none.

    May be called once: the variable is removed, so that no grandchild takes it.
    """
    number = os.environ.pop(VARIABLE, "")
    if not number.isdecimal():
        return None
    listener = socket.socket(fileno=int(number))
    listener.set_inheritable(False)
    listener.setblocking(False)
    return listener


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        CannotListen: the port is taken or may not be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit both: a peer that takes nothing is dropped by the kernel, and
        # the kernel holds little for one that is slow (else up to tcp_wmem, 4 MiB, which is
        # minutes of an answer: the edge would learn too late that nobody reads).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
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
