"""Summarizers in any order, killed and repeated, while the chat goes on and branches: what is
stored says exactly what the messages up to the one that it names said."""

import re
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.runtime.byte_codec import ByteCodec
from actors.summarizer.config import SummarizerConfig
from actors.summarizer.machine import FoldMachine
from actors.summarizer.state import (
    Begin,
    Finish,
    FoldEffect,
    FoldMessage,
    ReadTurns,
    Rest,
    Rested,
    RunEnded,
    RunModel,
    StepFailed,
    StoreSummary,
    SummaryConflict,
    SummaryStored,
    TurnsRead,
)
from contracts.memory import FoldWanted
from contracts.records import Message, Summary
from contracts.runs import RunOutcome

CODEC = ByteCodec()
CONFIG = SummarizerConfig(
    pool="fast", model="m", codec=CODEC, context_length=20_000, exchanges_max=3, tokens_max=5_000
)
STEP = st.tuples(
    st.sampled_from(["talk", "wish", "step", "step", "step", "step", "fail", "kill", "branch"]),
    st.integers(0, 30),
)


def facts(text: str) -> set[str]:
    return set(re.findall(r"fact\d+", text))


@dataclass
class Fold:
    """A summarizer at work on a wish, and what it asked for last."""

    wish: FoldWanted
    machine: FoldMachine
    asked: FoldEffect


@dataclass
class Place:
    """One chat in history, the runs that were made, and the folds at work."""

    path: list[Message] = field(default_factory=list)
    stored: dict[str, Message] = field(default_factory=dict)
    paths: dict[str, tuple[str, ...]] = field(default_factory=dict)
    summary: Summary | None = None
    runs: dict[str, str] = field(default_factory=dict)
    folds: list[Fold] = field(default_factory=list)
    number: int = 0
    now_ms: int = 0

    def say(self) -> None:
        """One exchange at the end of the path shown."""
        for role in ("user", "assistant"):
            position = len(self.stored)
            message = Message(
                message_id=f"m{position}",
                chat_id="chat",
                position=position,
                role=role,
                content=f"fact{position}",
                created_at_ms=1,
                parent_id=self.path[-1].message_id if self.path else "",
            )
            self.path.append(message)
            self.stored[message.message_id] = message
            self.paths[message.message_id] = tuple(m.message_id for m in self.path)

    def branch(self, where: int) -> None:
        """Go on from an earlier answer."""
        exchanges = len(self.path) // 2
        self.path = self.path[: 2 * (where % (exchanges + 1))]
        self.say()

    def want(self, count: int) -> None:
        """Ask for a fold as a session does."""
        summary, start = self.summary, 0
        valid = summary is not None and summary.upto_id in [m.message_id for m in self.path]
        if summary is not None and valid:
            start = next(i for i, m in enumerate(self.path) if m.message_id == summary.upto_id) + 1
        folded = self.path[start : start + 2 * (1 + count % 8)]
        if not folded:
            return
        self.number += 1
        wish = FoldWanted(
            fold_id=f"fold{self.number}",
            chat_id="chat",
            user_id="user",
            message_ids=tuple(m.message_id for m in folded),
            first_position=folded[0].position,
            position=folded[-1].position,
            tokens_max=5_000,
            replaces=summary.position if summary is not None else None,
            based_on=summary.upto_id if summary is not None and valid else None,
        )
        self.begin(wish)

    def begin(self, wish: FoldWanted) -> None:
        """Give a wish to a summarizer."""
        machine = FoldMachine(CONFIG, wish, self.now_ms)
        (asked,) = machine.handle(Begin(), self.now_ms)
        self.folds.append(Fold(wish, machine, asked))

    def step(self, index: int, *, fail: bool = False) -> None:
        """Do what one fold asks for, or let it fail."""
        if not self.folds:
            return
        fold = self.folds[index % len(self.folds)]
        answer: FoldMessage = StepFailed()
        if not fail or isinstance(fold.asked, Rest):
            answer = self.perform(fold.asked)
        (asked,) = fold.machine.handle(answer, self.now_ms)
        fold.asked = asked
        if isinstance(asked, Finish):
            self.folds.remove(fold)

    def kill(self, index: int) -> None:
        """Another summarizer gets the wish of one that died."""
        if self.folds:
            self.begin(self.folds.pop(index % len(self.folds)).wish)

    def perform(self, effect: FoldEffect) -> FoldMessage:
        """Answer as history and the cheap model do."""
        match effect:
            case ReadTurns(wish):
                span = range(wish.first_position, wish.position + 1)
                found = [m for m in self.stored.values() if m.position in span]
                return TurnsRead(self.summary, tuple(found))
            case RunModel(spec):
                prompt = CODEC.decode(spec.prompt_tokens)
                noted = "\n".join(f"- {fact}" for fact in sorted(facts(prompt)))
                text = self.runs.setdefault(spec.run_id, noted)
                return RunEnded(text, RunOutcome(finish_reason="stop"))
            case StoreSummary(summary, replaces):
                return self.store(summary, replaces)
            case Rest():
                return Rested()
            case _:
                raise AssertionError(effect)

    def store(self, summary: Summary, replaces: int | None) -> FoldMessage:
        """Compare and set, and hold what is stored to the messages."""
        if self.summary == summary:
            return SummaryStored()
        if (self.summary.position if self.summary else None) != replaces:
            return SummaryConflict()
        covered = self.paths[summary.upto_id]
        assert facts(summary.text) == {self.stored[i].content for i in covered}
        assert self.stored[summary.upto_id].position == summary.position
        self.summary = summary
        return SummaryStored()


@given(st.lists(STEP, min_size=5, max_size=120))
@settings(max_examples=300, deadline=None)
def test_stored_summary_says_what_the_messages_up_to_its_last_said(
    steps: list[tuple[str, int]],
) -> None:
    place = Place()
    place.say()
    for what, number in steps:
        place.now_ms += 1
        match what:
            case "talk":
                place.say()
            case "wish":
                place.want(number)
            case "step":
                place.step(number)
            case "fail":
                place.step(number, fail=True)
            case "kill":
                place.kill(number)
            case "branch":
                place.branch(number)
    for _ in range(1_000):
        place.step(0)
    assert not place.folds, "every fold comes to its end"
