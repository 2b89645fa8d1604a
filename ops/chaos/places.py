"""Where faults happen: a stack as it usually is, one of two hosts, one on a small disk."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ops.chaos.faults import Place
from ops.chaos.nats_cluster import nats_cluster
from ops.chaos.network_host import NoNamespaces, network_host
from ops.chaos.small_disk import NoDisk, small_disk
from ops.chaos.stack import RunningStack
from ops.chaos.verdict import require

_PATIENCE_S = 300.0
_DISK_MB = 256


@contextmanager
def running_stack(
    place: Place, words: tuple[str, ...], *, gpus: int, nats_nodes: int
) -> Iterator[RunningStack]:
    """Run a stack there that has, once all is set up, so many gpu actors; all that it leaves is
    removed at the end. Its own NATS server is used where there is one here.

    Raises NoNamespaces, NoDisk: this place can't be made; Broken: it does not start, or does not
    end in order.
    """
    with ExitStack() as around:
        folder = Path(around.enter_context(tempfile.TemporaryDirectory(prefix="parley-chaos-")))
        host = disk = nats = None
        if place == "two hosts":
            host = around.enter_context(network_host())
            words = (*words, "--affinity", "off", "--standby", "no")  # who stands by is far away
        elif place == "small disk":
            folder = disk = around.enter_context(small_disk(folder / "disk", _DISK_MB))
        if host is not None or nats_nodes > 1:
            at = "127.0.0.1" if host is None else host.near
            nats = around.enter_context(nats_cluster(folder / "nats", nats_nodes, at))
        words = (*words, "--gpus", str(gpus))
        stack = RunningStack(folder / "home", *words, nats=nats, host=host, disk=disk)
        around.callback(stack.end)
        yield stack.start(_PATIENCE_S)
        code = stack.end()
        require(code == 0, f"parley up ended with {code}:\n{stack.said}")


def lacking(place: Place) -> str:
    """Return why this place can't be made on this machine, "" if it can."""
    try:
        with ExitStack() as around:
            if place == "two hosts":
                around.enter_context(network_host())
            elif place == "small disk":
                folder = Path(around.enter_context(tempfile.TemporaryDirectory()))
                around.enter_context(small_disk(folder / "disk", 1))
    except (NoNamespaces, NoDisk) as error:
        return str(error)
    return ""
