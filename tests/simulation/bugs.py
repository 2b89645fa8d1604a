"""Bugs on purpose: proof that the checks can fail.

Each is a small change to the production code, made while a story plays, of a kind that a
person could make. The simulator must catch every one; `python -m tests.simulation.catching`
tells with how many seeds.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from actors.gpu.answering import Answering
from actors.gpu.machine import GpuMachine
from actors.gpu.state import Committed, Sequence
from actors.gpu.state import Run as WrittenRun
from actors.gpu.text import AnswerText
from actors.runtime import log_place
from actors.runtime.lease_machine import LeaseMachine, Write
from actors.runtime.log_chain import LogChain
from actors.runtime.log_place import Claimer, Hold, home_of
from actors.runtime.log_reader import BusLogReader
from actors.runtime.log_writer import BusRunWriter
from actors.scheduler.ending import Ending as SchedulerEnding
from actors.scheduler.machine import SchedulerMachine
from actors.scheduler.state import EndRun, Send, Settle
from actors.session.actor import SessionHost
from actors.session.cancelling import Cancelling
from actors.session.conversation import (
    acceptance,
    acknowledgements,
    unknown_to,
)
from actors.session.effects import EffectRunner
from actors.session.ending import Ending as SessionEnding
from actors.session.machine import SessionMachine
from actors.session.state import AcceptPrompt, Reply, RunClosed, SaveAnswer, StepFailed
from actors.session.submitting import Submitting
from contracts.codec import decode, encode
from contracts.errors import BusUnavailable, Fenced, WrongSequence
from contracts.log import LogEntry
from contracts.ports.bus import Fence
from contracts.scheduling import StartRun
from contracts.session import SubmitPrompt
from tests.simulation.found import CUT_IN_A_CHARACTER
from tests.simulation.story import Story

Change = tuple[object, str, Any]


@dataclass(frozen=True, slots=True)
class Bug:
    """What is wrong, and what to put in place of what: (owner, attribute, new value). `stories`
    are tried first, where an early seed seldom shows it."""

    name: str
    changes: tuple[Change, ...]
    stories: tuple[Story, ...] = ()

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The code has this bug meanwhile."""
        with ExitStack() as changed:
            for owner, attribute, new in self.changes:
                changed.enter_context(patch.object(owner, attribute, new))
            yield


BUGS: list[Bug] = []


def bug(
    name: str, owner: object, attribute: str, stories: tuple[Story, ...] = ()
) -> Callable[[Callable[..., Any]], Any]:
    """Register the decorated function, which is given the original and returns its worse."""

    def register(worse: Callable[..., Any]) -> Callable[..., Any]:
        original = vars(owner).get(attribute, getattr(owner, attribute))
        if isinstance(original, property):
            new: Any = property(worse(original.fget))
        elif isinstance(original, staticmethod):
            new = staticmethod(worse(original.__func__))
        else:
            new = worse(original)
        BUGS.append(Bug(name, ((owner, attribute, new),), stories))
        return worse

    return register


# --- the token log ---------------------------------------------------------------------------


@bug("an entry is appended without a fence", Hold, "store")
def _no_fence(_: Any) -> Any:
    async def store(self: Any, entry: LogEntry, timeout_s: float = 2.0) -> int:
        return int(await self._bus.append(self.place.entries, encode(entry), timeout_s=timeout_s))

    return store


@bug("a claim does not mind a newer one", log_place, "_place_after")
def _any_claim(_: Any) -> Any:
    def place(found: Any, attempt: int, expect_epoch: int | None) -> tuple[int, int]:
        del attempt, expect_epoch
        return (found[0], found[1].first or found[0]) if found else (0, 0)

    return place


@bug("an append whose answer was lost is simply repeated", BusRunWriter, "_settle")
def _blind_repeat(_: Any) -> Any:
    async def settle(self: Any, entry: LogEntry) -> int:
        while True:
            try:
                return int(await self._hold.store(replace(entry, epoch=self._hold.epoch)))
            except WrongSequence as error:
                raise Fenced("a newer claim") from error
            except BusUnavailable:
                await self._clock.sleep(0.02)

    return settle


@bug("a fenced writer takes the newer claim for its own", Hold, "find")
def _borrowed_claim(_: Any) -> Any:
    async def find(self: Any, entry: LogEntry) -> int | None:
        place = self.place
        last = await self._bus.last(place.stream, place.entries, leader=True)
        if last is not None and decode(last.data, LogEntry) == entry:
            return int(last.seq)
        claim = await self._bus.last(place.stream, place.claims, leader=True)
        self._fence = Fence(claim.seq, place.claims)
        return None

    return find


@bug("a reader does not see a gap", LogChain, "offer")
def _gap(original: Any) -> Any:
    def offer(self: Any, entry: LogEntry, stream_seq: int, place: int = 0) -> bool:
        self.next_seq = max(self.next_seq, entry.seq)
        return bool(original(self, entry, stream_seq, place))

    return offer


@bug("a reader tells again what it was sent twice", LogChain, "offer")
def _twice(original: Any) -> Any:
    def offer(self: Any, entry: LogEntry, stream_seq: int, place: int = 0) -> bool:
        if entry.seq < self.next_seq:
            self.next_seq, self.positions[place] = entry.seq, 0
        return bool(original(self, entry, stream_seq, place))

    return offer


@bug("a reader never looks for what the live subject lost", BusLogReader, "look_again")
def _never_look(_: Any) -> Any:
    def nothing(_: Any) -> None:
        return None

    return nothing


@bug("a reader begins at the start, whatever its cursor", BusLogReader, "__init__")
def _no_cursor(original: Any) -> Any:
    def init(
        self: Any, bus: Any, clock: Any, sweeper: Any, run_id: str, after: Any, places: Any
    ) -> None:
        original(self, bus, clock, sweeper, run_id, 0 if after else after, places)

    return init


@bug("a lease is believed in for ever", LeaseMachine, "believes")
def _eternal_lease(_: Any) -> Any:
    def believes(self: Any, now_ms: int) -> bool:
        del now_ms
        return bool(self._phase == "held")

    return believes


@bug("a lease does not wait for its turn", LeaseMachine, "_want")
def _greedy_lease(original: Any) -> Any:
    def want(self: Any, message: Any, now_ms: int) -> Any:
        if type(message).__name__ == "Seen" and message.value not in (None, self._value):
            return (Write(message.revision),)
        return original(self, message, now_ms)

    return want


# --- the session -----------------------------------------------------------------------------


@bug("a prompt is accepted before it is stored", SessionMachine, "handle")
def _early_yes(original: Any) -> Any:
    def handle(self: Any, message: Any, now_ms: int) -> Any:
        effects = original(self, message, now_ms)
        early: list[Any] = []
        for effect in effects:
            if isinstance(effect, AcceptPrompt):
                submit = self._conversation.runs[effect.run.run_id].submit
                early.append(Reply(submit.reply_to, acceptance(effect.run, replayed=False)))
        return (*early, *effects)

    return handle


@bug("a run's end is acknowledged when it comes", SessionHost, "_receive")
def _early_end(original: Any) -> Any:
    def receive(self: Any, delivery: Any) -> None:
        if b"run_finished" in delivery.stored.data:
            delivery.ack()
        original(self, delivery)

    return receive


@bug("the end is told before the answer is stored", SessionEnding, "closed")
def _early_terminal(original: Any) -> Any:
    def closed(self: Any, progress: Any, closed: Any, now_ms: int) -> Any:
        effects = original(self, progress, closed, now_ms)
        if effects and isinstance(effects[0], SaveAnswer):
            return self._write_terminal(progress)
        return effects

    return closed


@bug("a log is closed without a claim", EffectRunner, "_close")
def _unclaimed_close(_: Any) -> Any:
    async def close(self: Any, effect: Any) -> Any:
        state = await self._log.read(effect.run_id)
        claim = await self._log.read_claim(effect.run_id)
        epoch = claim[0] if claim else 0
        home = Hold(self._bus, home_of(effect.run_id), epoch, first=False)
        claimer = Claimer(self._bus, self._clock, "closer", 1)
        self._writers[effect.run_id] = BusRunWriter(claimer, self._clock, home)
        return RunClosed(
            effect.run_id, state.text, len(state.tokens), state.next_seq, state.terminal
        )

    return close


@bug("the key of an earlier prompt is not looked for", Submitting, "submit")
def _no_key(original: Any) -> Any:
    def submit(self: Any, submit: SubmitPrompt, delivery: int, now_ms: int) -> Any:
        return original(self, replace(submit, idempotency_key=None), delivery, now_ms)

    return submit


@bug("a cancel that comes before its prompt is forgotten", Cancelling, "_hold_early")
def _no_early_cancel(_: Any) -> Any:
    def hold(self: Any, progress: Any, now_ms: int) -> Any:
        del self, now_ms
        return (*unknown_to(progress.waiting), *acknowledgements(progress))

    return hold


@bug("a prompt is refused although it may be stored", SessionMachine, "_failed")
def _hasty_refusal(original: Any) -> Any:
    def failed(self: Any, progress: Any, failure: StepFailed, now_ms: int) -> Any:
        certain = StepFailed(failure.run_id, fenced=failure.fenced, certain=True)
        return original(self, progress, certain, now_ms)

    return failed


@bug("a stop is taken and not passed on", Cancelling, "ask_cancel")
def _kept_cancel(_: Any) -> Any:
    def ask_cancel(*_: Any) -> Any:
        return ()

    return ask_cancel


@bug("a retry is never due", SessionMachine, "next_due_ms")
def _never_due(_: Any) -> Any:
    def nothing(_: Any) -> None:
        return None

    return nothing


# --- the scheduler ---------------------------------------------------------------------------


@bug("a run is acknowledged when it is given to a worker", SchedulerMachine, "handle")
def _early_settle(original: Any) -> Any:
    def handle(self: Any, message: Any, now_ms: int) -> Any:
        effects = original(self, message, now_ms)
        settles: list[Any] = []
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.command, StartRun):
                run = self._pool.runs[effect.command.spec.run_id]
                settles += [Settle(delivery) for delivery in run.deliveries]
        return [*effects, *settles]

    return handle


@bug("a stall is not noticed", SchedulerMachine, "_stalled")
def _no_stall(_: Any) -> Any:
    def none(*_: Any) -> list[Any]:
        return []

    return none


@bug("a queued run that is cancelled stays in the queue", SchedulerEnding, "end")
def _stays_queued(original: Any) -> Any:
    def end(self: Any, run: Any, outcome: Any) -> Any:
        effects = original(self, run, outcome)
        if outcome.finish_reason == "cancelled":
            return [effect for effect in effects if not isinstance(effect, EndRun)]
        return effects

    return end


# --- the worker ------------------------------------------------------------------------------


@bug("a successor begins the answer again", WrittenRun, "adopt")
def _begin_again(original: Any) -> Any:
    def adopt(self: Any, log: Any, codec: Any) -> Any:
        result = original(self, log, codec)
        self.committed.tokens = []
        self.answer = AnswerText(codec, self.spec.sampling)
        return result

    return adopt


@bug("a successor has the whole of max_tokens again", Answering, "engage")
def _whole_budget(original: Any) -> Any:
    def engage(self: Any, run: Any, now_ms: int) -> Any:
        effects = original(self, run, now_ms)
        whole = run.spec.sampling.max_tokens
        for number, effect in enumerate(effects):
            sampling = replace(effect.sampling, max_tokens=whole)
            effects[number] = type(effect)(*run.key, effect.prompt, sampling)
        return effects

    return engage


@bug("a cancel is confirmed before the engine has let go", GpuMachine, "_abort")
def _hasty_abort(original: Any) -> Any:
    def abort(self: Any, command: Any, now_ms: int) -> Any:
        run = self._roster.runs.get(command.run_id)
        if run is not None and run.sequence is Sequence.RUNNING:
            run.sequence = Sequence.NONE
        return original(self, command, now_ms)

    return abort


@bug("an output that comes twice is taken twice", Answering, "output")
def _double_output(original: Any) -> Any:
    def output(self: Any, message: Any, now_ms: int) -> Any:
        start = None
        taken = type(message.output)(
            tokens=message.output.tokens,
            finish=message.output.finish,
            cached_tokens=message.output.cached_tokens,
            start=start,
        )
        return original(self, type(message)(message.run_id, message.attempt, taken), now_ms)

    return output


@bug("a stop string may be cut in two by an entry", AnswerText, "_undecided")
def _cut_stop(_: Any) -> Any:
    def undecided(*_: Any) -> int:
        return 0

    return undecided


@bug("a snapshot stands for one event more than it has", Committed, "snapshot")
def _far_snapshot(original: Any) -> Any:
    def snapshot(self: Any, stream_seq: int, now_ms: int) -> Any:
        taken = original(self, stream_seq, now_ms)
        return replace(taken, seq=taken.seq + 1)

    return snapshot


@bug("a snapshot lacks the last word", Committed, "snapshot")
def _short_snapshot(original: Any) -> Any:
    def snapshot(self: Any, stream_seq: int, now_ms: int) -> Any:
        taken = original(self, stream_seq, now_ms)
        return replace(taken, text=taken.text[:-1])

    return snapshot


@bug(
    "a cancelled answer may end in half a character",
    AnswerText,
    "finish",
    CUT_IN_A_CHARACTER,
)
def _half_character(original: Any) -> Any:
    def finish(self: Any, *, cut: bool = False) -> str:
        del cut
        return str(original(self))

    return finish
