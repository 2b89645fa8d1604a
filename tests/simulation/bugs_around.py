"""More bugs on purpose: in summaries, edges and queues, and where leaders and logs go away."""

from typing import Any, cast

from msgspec.structs import replace

from actors.runtime.log_place import Claimer, Hold, home_of, read_claim, sibling_of
from actors.runtime.log_reader import BusLogReader
from actors.runtime.log_writer import BusRunWriter
from actors.runtime.partitions import PartitionOwner
from actors.runtime.token_log import BusTokenLog
from actors.session.cancelling import Cancelling
from actors.session.conversation import Conversation
from actors.session.effects import EffectRunner
from actors.session.memory import Memory
from actors.session.state import EnqueueRefused, RunEnqueued, Settled
from actors.summarizer.machine import FoldMachine
from actors.summarizer.state import StoreSummary
from contracts.codec import decode
from contracts.errors import BusUnavailable
from contracts.log import LogEntry
from edge import run_streams
from edge.run_streams import RunStreams
from edge.sse import EventEncoder
from tests.simulation.bugs import bug
from tests.simulation.found import (
    BEGUN_ANEW,
    REFUSED_AND_GIVEN_AGAIN,
    REFUSED_BY_A_STOPPED_HOST,
    REFUSED_BY_THE_NEXT_OWNER,
    STOPPED_TWICE,
    WOKEN_TOO_LATE,
)

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
    async def settle(self: Any, entry: LogEntry) -> int:
        while True:
            try:
                return int(await self._hold.store(replace(entry, epoch=self._hold.epoch)))
            except BusUnavailable:
                return 1 << 30

    return settle


@bug("a writer goes on in the sibling without a claim there", BusRunWriter, "_move")
def _unclaimed_move(_: Any) -> Any:
    async def move(self: Any) -> bool:
        if self._beside is None:
            return False
        found = await read_claim(self._claimer._bus, self._beside)
        epoch = 0 if found is None else found[0]
        self._hold = Hold(self._claimer._bus, self._beside, epoch, first=False)
        self._moved = True
        return True

    return move


@bug("a successor claims a log at home only", BusTokenLog, "claim")
def _home_only(original: Any) -> Any:
    async def claim(self: Any, run_id: str, *, moved: bool = False, **words: Any) -> BusRunWriter:
        if moved:
            return cast("BusRunWriter", await original(self, run_id, moved=True, **words))
        claimer = Claimer(self._bus, self._clock, words["writer"], words["attempt"])
        home = await claimer.take(home_of(run_id), words["expect_epoch"])
        beside = sibling_of(run_id) if self._siblings else None
        return BusRunWriter(claimer, self._clock, home, beside=beside)

    return claim


@bug("who reads a log does not look into its sibling", BusTokenLog, "read")
def _home_read(_: Any) -> Any:
    async def read(self: Any, run_id: str) -> Any:
        return (await self._read_home(run_id)).state()

    return read


@bug(
    "a log that is begun anew begins at 1",
    BusTokenLog,
    "_may_have_dropped",
    BEGUN_ANEW,
)
def _same_numbers(_: Any) -> Any:
    def never(self: Any, run_id: str, expect_epoch: int | None) -> bool:
        del self, run_id, expect_epoch
        return False

    return never


@bug(
    "the first worker is believed to be the first, however late",
    BusTokenLog,
    "_may_have_dropped",
    WOKEN_TOO_LATE,
)
def _first_for_ever(original: Any) -> Any:
    def may_have_dropped(self: Any, run_id: str, expect_epoch: int | None) -> bool:
        return expect_epoch is None and bool(original(self, run_id, expect_epoch))

    return may_have_dropped


@bug("a reader that finds a hole goes on behind it", BusLogReader, "_take_stored")
def _hole(_: Any) -> Any:
    def take(self: Any, found: Any, number: int) -> bool:
        for stored in found:
            entry = decode(stored.data, LogEntry)
            self._chain.next_seq = max(self._chain.next_seq, entry.seq)
            self._chain.offer(entry, stored.seq, number)
        return True

    return take


@bug("a full queue is taken for one that has the run", EffectRunner, "perform")
def _full_is_fine(original: Any) -> Any:
    async def perform(self: Any, effect: Any) -> Any:
        answer = await original(self, effect)
        return RunEnqueued(answer.run_id) if isinstance(answer, EnqueueRefused) else answer

    return perform


@bug("a second early cancel puts the first out of mind", Cancelling, "_hold_early", STOPPED_TWICE)
def _one_cancel(original: Any) -> Any:
    def hold(self: Any, progress: Any, now_ms: int) -> Any:
        self._conversation.early.pop(progress.run_id, None)
        return original(self, progress, now_ms)

    return hold


@bug(
    "a host decides for a chat as long as it was not told of the loss",
    PartitionOwner,
    "holds",
    REFUSED_BY_A_STOPPED_HOST,
)
def _holds_what_it_had(_: Any) -> Any:
    def holds(self: Any, partition: int) -> bool:
        return partition in self._leases

    return holds


@bug(
    "a prompt that the owner before may be storing is refused as a new one",
    Conversation,
    "__init__",
    REFUSED_BY_THE_NEXT_OWNER,
)
def _no_earlier_owner(original: Any) -> Any:
    def init(self: Any, *args: Any, begun_ms: int = 0) -> None:
        del begun_ms
        original(self, *args)

    return init


@bug(
    "a refusal is told before it is sure that its prompt comes to nobody",
    EffectRunner,
    "_settle",
    REFUSED_AND_GIVEN_AGAIN,
)
def _told_at_once(_: Any) -> Any:
    async def settle(self: Any, run_id: str, deliveries: tuple[int, ...]) -> Any:
        for number in deliveries:
            self.deliveries.pop(number).ack()
        return Settled(run_id, deliveries)

    return settle
