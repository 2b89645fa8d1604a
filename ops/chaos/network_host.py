"""A host of its own on this machine: a network namespace, linked to the rest by a bridge, whose
cable can be pulled. What is sent then vanishes: no connection is reset, nobody is told."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from ops.chaos.verdict import Broken

Way = Literal["both", "in", "out"]
_NOBODY = "02:00:00:00:00:01"


class NoNamespaces(Broken):
    """This machine, or this user, can't make network namespaces; the message says what failed."""


class NetworkHost:
    """`near` is this machine's address on the bridge, `far` the host's; processes of the host
    are started with `prefix` before their command."""

    def __init__(self, name: str, subnet: str) -> None:
        self.near = f"{subnet}.1"
        self.far = f"{subnet}.2"
        self.prefix = ("ip", "netns", "exec", name)
        self._name = name
        self._bridge = f"{name}b"
        self._port = f"{name}p"

    def make(self) -> None:
        """Create it. Raises NoNamespaces."""
        name, bridge, port = self._name, self._bridge, self._port
        try:
            _ip("netns", "add", name)
            _ip("link", "add", bridge, "type", "bridge")
            _ip("addr", "add", f"{self.near}/24", "dev", bridge)
            _ip("link", "set", bridge, "up")
            _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", port, "master", bridge, "up")
            _ip("-n", name, "addr", "add", f"{self.far}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            raise NoNamespaces(f"no network namespace can be made here: {said.strip()}") from error

    def remove(self) -> None:
        """Delete what `make` made, as far as it came."""
        for words in (("netns", "del", self._name), ("link", "del", self._bridge)):
            with suppress(OSError, subprocess.CalledProcessError):
                _ip(*words)

    @contextmanager
    def isolated(self, way: Way) -> Iterator[None]:
        """Lose what goes to the host (`in`), what it sends (`out`), or both, meanwhile."""
        self._cut(way)
        try:
            yield
        finally:
            self._heal(way)

    def _cut(self, way: Way) -> None:
        if way == "both":
            _ip("link", "set", self._port, "down")
        elif way == "in":
            _ip(*self._neighbour("replace", self.far, self._bridge), *_LOST)
        else:
            _ip("-n", self._name, *self._neighbour("replace", self.near, "eth0"), *_LOST)

    def _heal(self, way: Way) -> None:
        if way == "both":
            _ip("link", "set", self._port, "up")
        elif way == "in":
            _ip(*self._neighbour("del", self.far, self._bridge))
        else:
            _ip("-n", self._name, *self._neighbour("del", self.near, "eth0"))

    @staticmethod
    def _neighbour(verb: str, address: str, device: str) -> tuple[str, ...]:
        return ("neigh", verb, address, "dev", device)


_LOST = ("lladdr", _NOBODY, "nud", "permanent")
"""Frames for a card that nobody has are dropped by who gets them."""


def _ip(*words: str) -> None:
    program = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise FileNotFoundError("there is no program ip (iproute2)")
    subprocess.run([program, *words], capture_output=True, text=True, check=True)


@contextmanager
def network_host() -> Iterator[NetworkHost]:
    """Make this process's host, and remove it at the end. Raises NoNamespaces."""
    number = os.getpid() % 250
    host = NetworkHost(f"pc{number}", f"10.231.{number}")
    try:
        host.make()
        yield host
    finally:
        host.remove()
