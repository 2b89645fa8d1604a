"""Ports for processes that are about to start."""

import socket
from pathlib import Path

from ops.ports import free_or_other, free_port, is_free


def test_free_port_is_none_that_an_outgoing_connection_takes() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(1024 <= free_port() < lowest for _ in range(100))


def test_free_or_other_keeps_a_free_port_and_leaves_a_taken_one() -> None:
    port = free_port()
    assert free_or_other(port) == port
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        other = free_or_other(port)
        assert other != port
        assert is_free(other)
    assert free_or_other(port) == port
