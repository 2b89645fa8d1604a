"""More bugs on purpose: in summaries, edges and queues, and where leaders and logs go away."""

from typing import Any

from msgspec.structs import replace

from actors.runtime.log_reader import BusLogReader
from actors.runtime.partition_machine import PartitionMachine
from actors.runtime.token_log import BusRunWriter
from actors.session.cancelling import Cancelling
from actors.session.effects import EffectRunner
from actors.session.memory import Memory
from actors.session.state import EnqueueRefused, RunEnqueued
from actors.summarizer.machine import FoldMachine
from actors.summarizer.state import StoreSummary
from contracts.codec import decode
from contracts.errors import BusUnavailable
from contracts.log import LogEntry
from edge import run_streams
from edge.run_streams import RunStreams
from edge.sse import EventEncoder
from tests.simulation.bugs import bug

# --- summaries -------------------------------------------------------------------------------


@bug("a summary says that it reaches one turn further than it does", FoldMachine, "_answered")
def _far_summary(original: Any) -> Any:
    def answered(self: Any, ended: Any, now_ms: int) -> Any:
        effects = original(self, ended, now_ms)
        if effects and isinstance(effects[0], StoreSummary):
            summary = effects[0].summary
            effects = (StoreSummary(replace(summary, position=summary.position + 2), None),)
        return effects

    return answered


@bug("a fold leaves out its first turn", FoldMachine, "_next_step")
def _short_fold(original: Any) -> Any:
    def step(self: Any, now_ms: int) -> Any:
        if len(self._left) > 1 and not self._try:
            self._left = self._left[1:]
        return original(self, now_ms)

    return step


@bug("a prompt shows the turns that its summary has", Memory, "_since")
def _told_twice(_: Any) -> Any:
    def since(path: Any, summary: Any) -> Any:
        del summary
        return path

    return since


# --- edges -----------------------------------------------------------------------------------


@bug("an edge begins at the start for who comes back", RunStreams, "join")
def _from_the_start(original: Any) -> Any:
    async def join(self: Any, run: Any, after: Any) -> Any:
        return await original(self, run, 0 if after else after)

    return join


@bug("an edge numbers the events itself", EventEncoder, "encode")
def _own_numbers(original: Any) -> Any:
    def encode(self: Any, events: Any) -> Any:
        numbered = [replace(event, seq=number) for number, event in enumerate(events, 1)]
        return original(self, numbered)

    return encode


@bug("who lacks what the log dropped is told all that is left", run_streams, "_from_snapshot")
def _rest_of_a_log(_: Any) -> Any:
    def rest(events: Any, last: int) -> Any:
        del last
        return events

    return rest


# --- leaders and logs that go away, queues that are full -------------------------------------


@bug("an append that timed out counts as stored", BusRunWriter, "_settle")
def _sure_append(_: Any) -> Any:
    async def settle(self: Any, entry: LogEntry, data: bytes) -> int:
        del entry
        while True:
            try:
                return int(await self._store(data))
            except BusUnavailable:
                return 1 << 30

    return settle


@bug("a reader that finds a hole goes on behind it", BusLogReader, "_take_stored")
def _hole(_: Any) -> Any:
    def take(self: Any, found: Any) -> None:
        for stored in found:
            entry = decode(stored.data, LogEntry)
            self._chain.next_seq = max(self._chain.next_seq, entry.seq)
            self._chain.offer(entry, stored.seq)

    return take


@bug("a full queue is taken for one that has the run", EffectRunner, "perform")
def _full_is_fine(original: Any) -> Any:
    async def perform(self: Any, effect: Any) -> Any:
        answer = await original(self, effect)
        return RunEnqueued(answer.run_id) if isinstance(answer, EnqueueRefused) else answer

    return perform


@bug("a partition is taken again while its actors still stop", PartitionMachine, "_may_acquire")
def _taken_again(_: Any) -> Any:
    def may(self: Any, partition: int, now_ms: int) -> bool:
        return (
            self._owners[partition] is None
            and partition not in self._asked
            and now_ms >= self._not_before_ms.get(partition, 0)
        )

    return may


@bug("a second early cancel puts the first out of mind", Cancelling, "_hold_early")
def _one_cancel(original: Any) -> Any:
    def hold(self: Any, progress: Any, now_ms: int) -> Any:
        self._conversation.early.pop(progress.run_id, None)
        return original(self, progress, now_ms)

    return hold
