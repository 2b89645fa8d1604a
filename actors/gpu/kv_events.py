"""What vLLM's prefix cache stores and removes, heard from its engine process over ZeroMQ.

vLLM numbers its batches of events, publishes them at most once, and keeps the last ten thousand
to be asked for again. A missing number is asked for; what cannot be had any more makes all that
was heard worthless, which is said as `BlocksCleared`.

Both sockets are files in the engine's folder; they are removed once both are connected.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from contracts.ports.engine import (
    BlockChange,
    BlockId,
    BlocksCleared,
    BlocksRemoved,
    BlocksStored,
)

_log = structlog.get_logger()

_END = (-1).to_bytes(8, "big", signed=True)
_REPLAY_S = 2.0
_BACKLOG_MAX = 100_000


class _Stored(msgspec.Struct, tag="BlockStored"):
    block_hashes: list[int | bytes]
    parent_block_hash: int | bytes | None
    token_ids: list[int]
    block_size: int
    medium: str | None = None
    extra_keys: list[Any] | None = None
    group_idx: int | None = None


class _Removed(msgspec.Struct, tag="BlockRemoved"):
    block_hashes: list[int | bytes]
    medium: str | None = None
    group_idx: int | None = None


class _Cleared(msgspec.Struct, tag="AllBlocksCleared"):
    pass


class _Batch(msgspec.Struct, array_like=True):
    ts: float
    events: list[_Stored | _Removed | _Cleared]


_batches = msgspec.msgpack.Decoder(_Batch)


def block_changes(payload: bytes) -> tuple[BlockChange, ...]:
    """Return the changes that a batch of vLLM's events (msgpack) tells.

    Left out is what a prompt's tokens alone don't name (adapters, images, salted caches), what
    is kept elsewhere than with the engine, and all but the first group of a hybrid model.

    Raises:
        msgspec.MsgspecError: the bytes are no batch.
    """
    changes: list[BlockChange] = []
    for event in _batches.decode(payload).events:
        if isinstance(event, _Cleared):
            changes.append(BlocksCleared())
            continue
        if event.group_idx or event.medium not in (None, "GPU"):
            continue
        blocks: tuple[BlockId, ...] = tuple(event.block_hashes)
        if isinstance(event, _Removed):
            changes.append(BlocksRemoved(blocks))
        elif not any(event.extra_keys or ()):
            changes.append(
                BlocksStored(
                    blocks, event.parent_block_hash, tuple(event.token_ids), event.block_size
                )
            )
    return tuple(changes)


class KvEvents:
    """The events of one engine."""

    def __init__(self, handler: Callable[[Sequence[BlockChange]], None]) -> None:
        self._handler = handler
        self._files: tuple[Path, ...] = ()
        self.endpoint = ""
        self.replay_endpoint = ""
        self._connected = False
        self._listening: asyncio.Task[None] | None = None
        self._expected = 0

    def prepare(self, folder: Path) -> None:
        """Choose the places of both sockets in `folder`, in which the engine will bind them; to
        be called before it starts."""
        self._files = (folder / "live", folder / "again")
        self.endpoint, self.replay_endpoint = (f"ipc://{file}" for file in self._files)

    def listen(self) -> None:
        """Connect and hand on what comes, until `close`."""
        self._listening = asyncio.create_task(self._listen(), name="kv-events")

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        from zmq.asyncio import Context  # noqa: PLC0415 - comes with vLLM
        from zmq.constants import DEALER, RCVHWM, SUB, SUBSCRIBE  # noqa: PLC0415
        from zmq.error import ZMQError  # noqa: PLC0415

        context = Context()
        live, again = context.socket(SUB), context.socket(DEALER)
        try:
            live.setsockopt(RCVHWM, _BACKLOG_MAX)
            live.setsockopt(SUBSCRIBE, b"")
            live.connect(self.endpoint)
            again.connect(self.replay_endpoint)
            while True:
                frames = await live.recv_multipart()
                await self._hear(frames, again)
        except ZMQError as error:
            _log.warning("no more news of the prefix cache", error=str(error))
            self._handler((BlocksCleared(),))
        finally:
            context.destroy(linger=0)

    async def _hear(self, frames: Sequence[bytes], again: Any) -> None:
        number, payload = int.from_bytes(frames[-2], "big"), frames[-1]
        if number < self._expected:
            return
        if number > self._expected or not self._connected:
            # The first batch asks in any case: once that is answered, both are connected.
            await self._replay(number, again)
        self._hand_on(number, payload)

    async def _replay(self, until: int, again: Any) -> None:
        """Hand on the batches before `until`, as far as vLLM still has them."""
        try:
            async with asyncio.timeout(_REPLAY_S):
                await again.send_multipart([b"", self._expected.to_bytes(8, "big")])
                while (frames := await again.recv_multipart())[-2] != _END:
                    number = int.from_bytes(frames[-2], "big")
                    if self._expected == number < until:
                        self._hand_on(number, frames[-1])
        except TimeoutError:
            _log.warning("vLLM does not repeat what its prefix cache stored")
        self._connected = True
        for file in self._files:
            file.unlink(missing_ok=True)
        if self._expected != until:
            _log.warning("news of the prefix cache lost", batches=until - self._expected)
            self._handler((BlocksCleared(),))

    def _hand_on(self, number: int, payload: bytes) -> None:
        self._expected = number + 1
        try:
            changes = block_changes(payload)
        except msgspec.MsgspecError as error:
            _log.warning("news of the prefix cache not understood", error=str(error))
            changes = (BlocksCleared(),)
        if changes:
            self._handler(changes)
