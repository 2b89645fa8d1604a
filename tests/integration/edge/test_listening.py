"""The edge's socket: held by another process over a restart, and frugal with who reads nothing."""

import asyncio
import os
import socket

import httpx
import pytest
from litestar import Litestar

from edge.listening import VARIABLE, inherited, listen
from edge.server import EdgeServer
from tests.integration.edge.conftest import EdgeStack
from tests.support.waiting import until


def address(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_socket_of_the_supervisor_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with listen("127.0.0.1", 0) as held:
        monkeypatch.setenv(VARIABLE, str(os.dup(held.fileno())))
        taken = inherited()
        assert taken is not None
        with taken:
            assert taken.getsockname() == held.getsockname()
            assert not taken.get_inheritable()
        assert inherited() is None


async def test_client_that_comes_between_two_edges_waits_for_the_second(stack: EdgeStack) -> None:
    with listen("127.0.0.1", 0) as held:
        edges = [EdgeServer(Litestar(), stack.config, held.dup()) for _ in range(2)]
        async with httpx.AsyncClient(base_url=address(held)) as client:
            for edge in edges:
                asking = asyncio.create_task(client.get("/"))
                await asyncio.sleep(0.05)
                assert not asking.done()
                running = asyncio.create_task(edge.run())
                assert (await asking).status_code == 404  # an empty application
                await until(lambda edge=edge: edge.serving)  # type: ignore[misc]
                await edge.stop()
                await running


async def test_kernel_holds_little_for_a_reader_who_reads_nothing() -> None:
    """By default it takes up to 4 MiB, and the edge would not notice for minutes."""
    with listen("127.0.0.1", 0) as held, socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(held.getsockname())
        held.setblocking(True)
        accepted, _ = held.accept()
        with accepted:
            accepted.setblocking(False)
            assert taken_by_the_kernel(accepted) < 1 << 17


def taken_by_the_kernel(connection: socket.socket) -> int:
    sent = 0
    while True:
        try:
            sent += connection.send(b"x" * 140)
        except BlockingIOError:
            return sent
