"""Runs as a worker would write them."""

from contracts.events import MessageDelta, RunCompleted, RunEvent, RunStarted
from contracts.log import LogEntry
from contracts.ports.token_log import LogBatch, LogReader, RunWriter
from contracts.runs import RunOutcome, Usage

STARTED = RunStarted(model="parley-small", message_id="msg_x")
COMPLETED = RunCompleted(finish_reason="stop", usage=Usage(), message_id="msg_x")
STOPPED = RunOutcome(finish_reason="stop")


class Script:
    """Writes entries of consecutive events under one writer."""

    def __init__(self, writer: RunWriter, next_seq: int = 1, offset: int = 0) -> None:
        self.writer = writer
        self.next_seq = next_seq
        self.offset = offset
        self.last_seq = 0

    async def write(
        self, *events: RunEvent, tokens: int = 0, end: RunOutcome | None = None
    ) -> LogEntry:
        """Commit one entry."""
        entry = LogEntry(
            epoch=self.writer.epoch,
            seq=self.next_seq,
            events=events,
            tokens=tuple(range(self.offset, self.offset + tokens)),
            offset=self.offset,
            at_ms=self.next_seq,
            end=end,
        )
        self.last_seq = await self.writer.append(entry)
        self.next_seq = entry.next_seq
        self.offset += tokens
        return entry

    async def say(self, *words: str) -> None:
        """Commit one delta and token a word, an entry each."""
        for word in words:
            await self.write(MessageDelta(delta=word), tokens=1)


async def collect(reader: LogReader, *, until_end: bool = False) -> list[LogBatch]:
    """Return all batches up to the terminal event, or up to the worker's end."""
    got: list[LogBatch] = []
    async for batch in reader.batches():
        got.append(batch)
        if until_end and batch.end is not None:
            break
    return got


def numbers(batches: list[LogBatch]) -> list[int]:
    """Return the events' places."""
    return [event.seq for batch in batches for event in batch.events]


def text(batches: list[LogBatch]) -> str:
    """Return the text of the deltas."""
    return "".join(
        event.event.delta
        for batch in batches
        for event in batch.events
        if isinstance(event.event, MessageDelta)
    )
