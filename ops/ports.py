"""TCP ports of 127.0.0.1 for processes that are about to start."""

import random
import socket
from typing import Final

_LOWEST: Final = 10_000
_BELOW: Final = 32_768
"""Linux takes the ports of outgoing connections from here on (`ip_local_port_range`): what is
chosen below can't be lost to one before the process that it is meant for has started."""
_TRIES: Final = 200
_random = random.SystemRandom()


def is_free(port: int) -> bool:
    """Say whether one could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port on which nobody listens now, and which no outgoing connection will take.

    Raises:
        OSError: none was found.
    """
    for _ in range(_TRIES):
        port = _random.randrange(_LOWEST, _BELOW)
        if is_free(port):
            return port
    raise OSError(f"no free port of {_TRIES} tried between {_LOWEST} and {_BELOW}")


def free_or_other(port: int) -> int:
    """Return `port` if it is free, else another."""
    return port if is_free(port) else free_port()
