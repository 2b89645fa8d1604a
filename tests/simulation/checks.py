"""The invariants of `design.md`, checked over a finished history. Each names itself."""

import asyncio
from collections import defaultdict

from msgspec.structs import replace

from actors.gpu.sim_engine import SimEngine
from actors.scheduler import SchedulerActor
from contracts.codec import decode
from contracts.errors import Refused
from contracts.log import Claim, LogEntry, seq_anew
from contracts.records import RunRecord
from contracts.runs import RunSpec
from contracts.session import PromptAccepted
from edge.run_history import LAST_ID
from tests.simulation.clients import Person, Prompt
from tests.simulation.verdict import require
from tests.simulation.virtual_time import START_MS
from tests.simulation.world import World

STOP_MS = 1_500
_TERMINALS = ("RunCompleted", "RunCancelled", "RunFailed")
_NOT_IN_TIME = "not taken in time"
"""What an edge says that does not know whether a prompt was taken."""


class Records:
    """What was ever stored of every run: entries with the wall clock of their storing, and
    the specs as they were queued. The witness saw them; logs age, and settled runs are
    deleted. Where nobody wrote for longer than a log is kept only what is left of it counts,
    or all of it if it had ended; and the numbers of a new one must be higher than all that
    readers know."""

    def __init__(self, world: World) -> None:
        self.entries: dict[str, list[tuple[int, LogEntry]]] = defaultdict(list)
        self.specs: dict[str, RunSpec] = {}
        claims: dict[tuple[str, str], tuple[int, Claim]] = {}
        places: dict[str, list[tuple[str, LogEntry]]] = defaultdict(list)
        age_ms = world.story.log_age_s * 1_000 or float("inf")
        for message in world.server.committed:
            kind, *parts = message.subject.split(".")
            if kind == "run":
                spec = decode(message.data, RunSpec)
                self.specs[spec.run_id] = spec
            elif kind == "tok" and parts[2] == "d":
                entry, told = decode(message.data, LogEntry), self.entries[parts[1]]
                if told and message.at_ms - told[-1][0] > age_ms and _dropped(entry, told):
                    continue
                if not _moved_with(entry, parts[0], places[parts[1]]):
                    told.append((message.at_ms, entry))
                places[parts[1]].append((parts[0], entry))
            elif kind == "tok" and parts[2] == "claim":
                run_id, claim = parts[1], decode(message.data, Claim)
                at_ms, before = claims.get((parts[0], run_id), (message.at_ms, claim))
                dropped = message.at_ms - at_ms > age_ms  # a claim that is gone fences nobody off
                story = f"{run_id}: attempt {claim.attempt} followed a higher one"
                require(claim.attempt >= before.attempt or dropped, "one story", story)
                claims[parts[0], run_id] = message.at_ms, claim


def _dropped(entry: LogEntry, told: list[tuple[int, LogEntry]]) -> bool:
    """Look at an entry of a log of which nothing is left: it goes on with it, or begins it anew,
    and then `told` is emptied. Return whether it is void, as is all that comes after the end:
    the end once more, or a log begun anew by who did not know of it."""
    last = told[-1][1]
    known = entry.seq < last.next_seq and (entry.seq, entry.events) != (last.seq, last.events)
    require(not known, "one story", f"event {entry.seq} of another log than {last} is known")
    if any(type(event).__name__ in _TERMINALS for event in last.events):
        return True
    if entry.seq > last.next_seq:
        told.clear()
    return False


def _moved_with(entry: LogEntry, place: str, told: list[tuple[str, LogEntry]]) -> bool:
    """Whether the log has this very entry in its other place: one that was not acknowledged at
    home is written again where the log goes on."""
    return any(
        other != place and replace(before, epoch=entry.epoch) == entry for other, before in told
    )


def check_log(run_id: str, entries: list[tuple[int, LogEntry]], *, chat: bool = True) -> str:
    """One story, one ending, in the log itself: a terminal event, or for a run without a chat
    an entry with the end. Returns its text."""
    expected_seq, offset, text, terminals, ended = 1, 0, "", 0, False
    if entries and entries[0][1].seq >= seq_anew(START_MS):
        expected_seq = entries[0][1].seq
    for _, entry in entries:
        require(entry.seq == expected_seq, "one story", f"{run_id}: seq {entry.seq}")
        require(
            not entry.tokens or entry.offset == offset,
            "one story",
            f"{run_id}: token {entry.offset} after {offset}",
        )
        require(not (ended and entry.tokens), "one ending", f"{run_id}: tokens after the end")
        require(terminals == 0, "one ending", f"{run_id}: an entry after the terminal event")
        for event in entry.events:
            terminals += type(event).__name__ in _TERMINALS
            text += getattr(event, "delta", "")
        expected_seq, offset = entry.next_seq, offset + len(entry.tokens)
        require(not (ended and entry.end), "one ending", f"{run_id}: ended twice")
        ended = ended or entry.end is not None
    if not chat:
        require(ended and not terminals, "one ending", f"{run_id}: {terminals}, {ended}")
        return text
    require(terminals == 1, "one ending", f"{run_id}: {terminals} terminal events")
    return text


async def undisturbed(world: World, spec: RunSpec) -> str:
    """Return what an engine that nobody disturbs says to this prompt."""
    engine = SimEngine(world.engine_config, world.clock)
    await engine.start(lambda _: None)
    tokens: list[int] = []
    async for output in engine.generate("reference", spec.prompt_tokens, spec.sampling):
        tokens += output.tokens
    await engine.close()
    decoder = world.codec.decoder()
    text = decoder.push(tokens) + decoder.flush()
    cuts = [text.find(stop) for stop in spec.sampling.stop if stop in text]
    return text[: min(cuts)] if cuts else text


def check_viewers(prompt: Prompt, stored: str) -> None:
    """Every window showed a gapless suffix of the one story."""
    for seen in prompt.viewers:
        last = seen.start or 0
        for index, (seq, kind, _) in enumerate(seen.events):
            jump = seen.start is None and index == 0
            snapshot = kind == "message.snapshot"
            require(
                seq == last + 1
                or (jump and seq >= 1)
                or (snapshot and seq > last)
                or (seq == LAST_ID > last),
                "one story",
                f"{seen.run_id}: a viewer from {seen.start} saw {seq} after {last}",
            )
            last = seq
        whole = seen.start is None or seen.start == 0
        if whole and seen.ended:
            require(seen.text() == stored, "one story", f"{seen.run_id}: a viewer saw other text")
        elif whole:
            require(stored.startswith(seen.text()), "one story", f"{seen.run_id}: other text")
        else:
            require(seen.text() in stored, "one story", f"{seen.run_id}: not part of the story")


async def check_prompt(world: World, records: Records, person: Person, prompt: Prompt) -> str:
    """Check one prompt; returns how it ended, for the statistics."""
    run_id = prompt.command.run_id
    record = await world.history.run(person.chat_id, run_id)
    if isinstance(prompt.reply, PromptAccepted):
        require(record is not None, "nothing accepted is lost", f"{run_id} is not in history")
    if record is None:
        return "refused"
    require(record.state != "active", "one ending", f"{run_id} is still active")
    full = world.story.queue_max and record.error and record.error.code == "at_capacity"
    open_failure = record.state != "failed" or full
    require(bool(open_failure), "continue, don't restart", f"{run_id}: {record.error}")
    require(not prompt.told_early, "nothing accepted is lost", f"{run_id}: told before stored")
    if isinstance(prompt.reply, Refused) and _NOT_IN_TIME not in prompt.reply.problem.detail:
        story = f"{run_id} was refused ({prompt.reply.problem}), and ran"
        require(record.state != "completed", "never half", story)
    message = await world.history.message(person.chat_id, prompt.command.prompt_id)
    require(
        message is not None and message.content == prompt.command.content,
        "nothing accepted is lost",
        f"the prompt of {run_id}",
    )
    answer = await world.history.message(person.chat_id, prompt.command.answer_id)
    assert answer is not None
    text = check_log(run_id, records.entries[run_id])
    require(answer.content == text, "one story", f"{run_id}: stored is not what was streamed")
    check_viewers(prompt, text)
    if run_id in records.specs:
        reference = await undisturbed(world, records.specs[run_id])
        if record.state == "completed":
            require(text == reference, "continue, don't restart", f"{run_id} differs")
        else:
            require(reference.startswith(text), "continue, don't restart", f"{run_id} differs")
    await _check_again(world, person, prompt)
    require(
        not prompt.stopped_first or record.state != "completed",
        "stop means stop",
        f"{run_id} was stopped before it was sent, and completed",
    )
    require(
        record.state != "cancelled" or prompt.stop_pressed,
        "leaving is not stopping",
        f"{run_id} was cancelled, and nobody pressed stop",
    )
    if world.story.calm:
        _check_stop(prompt, record, world.server.stops_ms.get(run_id))
    if prompt.cancel_confirmed_ms is not None:
        late = [
            at_ms
            for at_ms, entry in records.entries[run_id]
            if entry.tokens and at_ms > prompt.cancel_confirmed_ms
        ]
        require(not late, "stop means stop", f"{run_id}: tokens after a confirmed cancel")
        require(prompt.cancel_state == record.state, "stop means stop", f"{run_id}: {record.state}")
    return record.state


def _check_stop(prompt: Prompt, record: RunRecord, stored_ms: int | None) -> None:
    """Where no process fails, a stop frees the engine before it is confirmed, and soon."""
    run_id = prompt.command.run_id
    require(not prompt.held_on, "stop means stop", f"{run_id} was confirmed, and went on")
    ended_ms = record.ended_at_ms
    late = stored_ms is not None and ended_ms is not None and ended_ms - stored_ms > STOP_MS
    story = f"{run_id} completed {STOP_MS} ms after the stop"
    require(not (late and record.state == "completed"), "stop means stop", story)


async def _check_again(world: World, person: Person, prompt: Prompt) -> None:
    """One run per idempotency key, whichever device asked."""
    again = prompt.again
    if again is None:
        return
    run_id = prompt.command.run_id
    other = await world.history.run(person.chat_id, again.command.run_id)
    require(other is None, "one run per key", f"{run_id} ran twice, as {again.command.run_id}")
    if isinstance(again.reply, PromptAccepted):
        require(again.reply.run_id == run_id, "one run per key", f"{again.reply.run_id}")


def check_now(world: World) -> None:
    """What holds at every moment: at most one scheduler believes that the lease is its own."""
    actors = [process.actor for process in world.processes.values()]
    schedulers = [actor for actor in actors if isinstance(actor, SchedulerActor)]
    believers = [actor for actor in schedulers if actor.leads]
    require(len(believers) <= 1, "one story", f"{len(believers)} schedulers at once")


async def check_rest(world: World) -> None:
    """Nothing is left: queues empty, engines idle."""
    for name in ("RUNS", "SESS", "FOLD"):
        left = [s.subject for s in world.server.streams[name].messages.values()]
        require(not left, "bounded", f"never settled: {left}")
    for name, engine in world.engines.items():
        load = engine.load()
        require(load.running + load.waiting == 0, "stop means stop", f"{name} still runs")
    await asyncio.sleep(0)
