"""vLLM's cache events, from a publisher that behaves as vLLM's does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.gpu.kv_events import KvEvents, block_changes
from contracts.ports.engine import BlockChange, BlocksCleared, BlocksRemoved, BlocksStored
from tests.support.waiting import until


def _stored(name: int | bytes, **more: Any) -> dict[str, Any]:
    event = {
        "type": "BlockStored",
        "block_hashes": [name],
        "parent_block_hash": None,
        "token_ids": [1, 2],
        "block_size": 2,
        "lora_id": None,
        "medium": "GPU",
        "lora_name": None,
        "extra_keys": [None],
        "group_idx": 0,
    }
    return event | more


def _batch(*events: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode([1.5, list(events), 0])


def _change(name: int | bytes) -> BlocksStored:
    return BlocksStored((name,), None, (1, 2), 2)


def test_batch_of_vllm_is_read() -> None:
    removed = {"type": "BlockRemoved", "block_hashes": [7], "medium": "GPU", "group_idx": 0}
    payload = _batch(_stored(b"\x01"), removed, {"type": "AllBlocksCleared"})
    assert block_changes(payload) == (_change(b"\x01"), BlocksRemoved((7,)), BlocksCleared())


@pytest.mark.parametrize(
    "more",
    [{"extra_keys": [("salt",)]}, {"group_idx": 1}, {"medium": "CPU"}, {"medium": "STORAGE"}],
)
def test_what_tokens_alone_do_not_name_is_left_out(more: dict[str, Any]) -> None:
    assert block_changes(_batch(_stored(1, **more))) == ()


def test_fields_of_another_release_are_no_trouble() -> None:
    event = {k: v for k, v in _stored(1, of_tomorrow=[1]).items() if not k.startswith("lora")}
    assert block_changes(_batch(event)) == (_change(1),)


class Publisher:
    """vLLM's: numbered batches on one socket, and on the other those asked for again."""

    def __init__(self, events: KvEvents) -> None:
        from zmq.asyncio import Context  # noqa: PLC0415 - it comes with vLLM
        from zmq.constants import PUB, ROUTER  # noqa: PLC0415

        self.kept: dict[int, bytes] = {}
        self._context = Context()
        self._live, self._again = self._context.socket(PUB), self._context.socket(ROUTER)
        self._live.bind(events.endpoint)
        self._again.bind(events.replay_endpoint)
        self._answering = asyncio.create_task(self._answer())

    async def publish(self, number: int, payload: bytes, *, lost: bool = False) -> None:
        self.kept[number] = payload
        if not lost:
            await self._live.send_multipart([b"", number.to_bytes(8, "big"), payload])

    async def _answer(self) -> None:
        while True:
            who, _, start = await self._again.recv_multipart()
            for number, payload in self.kept.items():
                if number >= int.from_bytes(start, "big"):
                    frames = [who, b"", b"", number.to_bytes(8, "big"), payload]
                    await self._again.send_multipart(frames)
            end = (-1).to_bytes(8, "big", signed=True)
            await self._again.send_multipart([who, b"", b"", end, b""])

    async def close(self) -> None:
        self._answering.cancel()
        await asyncio.gather(self._answering, return_exceptions=True)
        self._context.destroy(linger=0)


class Scene:
    """An engine's publisher and who listens."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[BlockChange] = []
        self.folder = folder
        self.events = KvEvents(self.heard.extend)
        self.events.prepare(folder)
        self.publisher = Publisher(self.events)
        self.events.listen()

    async def first(self) -> None:
        """Publish number 0 until somebody listens."""
        while not self.heard:
            await self.publisher.publish(0, _batch(_stored(0)))
            await asyncio.sleep(0.01)


@pytest.fixture
async def scene(home: str) -> AsyncIterator[Scene]:
    pytest.importorskip("zmq", reason="ZeroMQ comes with vLLM")
    made = Scene(Path(home))
    yield made
    await made.events.close()
    await made.publisher.close()


async def test_batches_are_handed_on_in_order(scene: Scene) -> None:
    await scene.first()
    for number in range(1, 50):
        await scene.publisher.publish(number, _batch(_stored(number)))
    await until(lambda: len(scene.heard) == 50)
    assert scene.heard == [_change(number) for number in range(50)]


async def test_sockets_have_no_names_once_both_are_connected(scene: Scene) -> None:
    assert len(list(scene.folder.iterdir())) == 2
    await scene.first()
    assert not list(scene.folder.iterdir())
    await scene.publisher.publish(1, _batch(_stored(1)), lost=True)
    await scene.publisher.publish(2, _batch(_stored(2)))
    await until(lambda: len(scene.heard) == 3)


async def test_batches_that_were_missed_are_asked_for(scene: Scene) -> None:
    for number in range(3):
        await scene.publisher.publish(number, _batch(_stored(number)), lost=True)
    while not scene.heard:
        await scene.publisher.publish(3, _batch(_stored(3)))
        await asyncio.sleep(0.01)
    await until(lambda: len(scene.heard) == 4)
    assert scene.heard == [_change(number) for number in range(4)]


async def test_batches_that_nobody_has_any_more_clear_all(scene: Scene) -> None:
    await scene.first()
    await scene.publisher.publish(5, _batch(_stored(5)))
    await until(lambda: len(scene.heard) == 3)
    assert scene.heard[1:] == [BlocksCleared(), _change(5)]


async def test_batch_that_is_not_understood_clears_all(scene: Scene) -> None:
    await scene.first()
    await scene.publisher.publish(1, b"\xc1 nonsense")
    await scene.publisher.publish(2, _batch(_stored(2)))
    await until(lambda: len(scene.heard) == 3)
    assert scene.heard[1:] == [BlocksCleared(), _change(2)]
