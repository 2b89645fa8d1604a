"""Who sees everything that was really stored, also what is dropped or replaced later."""

from collections.abc import Mapping
from dataclasses import dataclass

from actors.runtime.memory_bus import MemoryServer
from contracts.codec import decode
from contracts.errors import BadMessage
from contracts.ports.bus import Fence
from contracts.ports.clock import Clock
from contracts.records import Summary
from contracts.session import CancelRun, SessionCommand
from ops.history.memory import MemoryHistory


@dataclass(frozen=True, slots=True)
class Committed:
    """A message that a stream has taken in, and when."""

    subject: str
    data: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class Folded:
    """A summary that history has taken in, the position of the one before, and when."""

    summary: Summary
    replaced: int | None
    at_ms: int


class WitnessedServer(MemoryServer):
    """A server that keeps a list of all that it ever stored, in that order."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.committed: list[Committed] = []
        self.stops_ms: dict[str, int] = {}

    def append(
        self,
        subject: str,
        data: bytes,
        *,
        fence: Fence | None,
        msg_id: str,
        headers: Mapping[str, str] | None,
    ) -> int:
        before = self.stream_of(subject).last_seq
        seq = super().append(subject, data, fence=fence, msg_id=msg_id, headers=headers)
        if seq > before:
            now_ms = self.clock.now_ms()
            self.committed.append(Committed(subject, data, now_ms))
            if b"cancel_run" in data and subject.startswith("sess."):
                self._note_stop(data, now_ms)
        return seq

    def _note_stop(self, data: bytes, now_ms: int) -> None:
        try:
            command = decode(data, SessionCommand)
        except BadMessage:
            return
        if isinstance(command, CancelRun):
            self.stops_ms.setdefault(command.run_id, now_ms)


class WitnessedHistory(MemoryHistory):
    """A history that remembers every summary that it was given."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.folded: list[Folded] = []
        self._witness_clock = clock

    async def put_summary(self, summary: Summary, *, replaces: int | None) -> None:
        before = self._summaries.get(summary.chat_id)
        await super().put_summary(summary, replaces=replaces)
        if before != summary:
            replaced = None if before is None else before.position
            self.folded.append(Folded(summary, replaced, self._witness_clock.now_ms()))
