"""The machine of one fold: every decision from the wish to the summary. Pure and synchronous.

A fold goes a few exchanges at a time; each step stores a summary of its own, so that one who is
killed has lost a step at most, and whoever gets the wish next goes on from there. The runs of a
step are named by the wish: a repeated step finds the run that the first one queued.
"""

from dataclasses import dataclass

from actors.runtime.notes import newest_within, notes_of, summary_of
from actors.summarizer.background import background_run
from actors.summarizer.checking import checked
from actors.summarizer.config import SummarizerConfig
from actors.summarizer.prompting import Exchange, exchanges_of, fitting
from actors.summarizer.state import (
    Begin,
    Finish,
    FoldEffect,
    FoldMessage,
    ReadTurns,
    Rest,
    Rested,
    RunEnded,
    RunLost,
    RunModel,
    StepFailed,
    StopRun,
    StoreSummary,
    SummaryConflict,
    SummaryStored,
    TurnsRead,
)
from contracts.memory import FoldWanted
from contracts.records import Summary
from contracts.runs import RunSpec, Sampling

Effects = tuple[FoldEffect, ...]
_CONFLICTS_MAX = 3
_LAST_TEMPERATURE = 0.7
"""For the last try: the same prompt, greedy, would be answered by the same words."""


@dataclass(frozen=True, slots=True)
class _Try:
    """How often a step was tried decides how many exchanges it has at most, and how it is
    sampled."""

    exchanges: int
    temperature: float = 0.0


def _tries(exchanges_max: int) -> tuple[_Try, ...]:
    """Return the tries of a step: fewer and fewer exchanges, greedy, and one last throw."""
    sizes = [exchanges_max]
    while sizes[-1] > 1:
        sizes.append(sizes[-1] // 2)
    return (*map(_Try, sizes), _Try(1, _LAST_TEMPERATURE))


@dataclass(frozen=True, slots=True)
class _Step:
    """The exchanges that one run folds, and the run."""

    exchanges: tuple[Exchange, ...]
    spec: RunSpec


class FoldMachine:
    """One fold; it is over when it has asked to `Finish`."""

    def __init__(self, config: SummarizerConfig, wish: FoldWanted, now_ms: int) -> None:
        self._config = config
        self._wish = wish
        self._give_up_at_ms = now_ms + config.patience_ms
        self._tokens_max = min(wish.tokens_max, config.tokens_max)
        self._summary = ""
        self._replaces: int | None = None
        self._left: list[Exchange] = []
        self._step: _Step | None = None
        self._storing: StoreSummary | None = None
        self._plan = _tries(max(1, config.exchanges_max))
        self._try = 0
        self._conflicts = 0

    def handle(self, message: FoldMessage, now_ms: int) -> Effects:
        """Decide."""
        match message:
            case Begin():
                return (ReadTurns(self._wish),)
            case TurnsRead():
                return self._read(message, now_ms)
            case RunEnded():
                return self._answered(message, now_ms)
            case RunLost():
                return self._lost(message)
            case SummaryStored():
                return self._stored(now_ms)
            case SummaryConflict():
                self._conflicts += 1
                if self._conflicts > _CONFLICTS_MAX:
                    return (Finish("overtaken"),)
                return (ReadTurns(self._wish),)
            case StepFailed():
                if now_ms >= self._give_up_at_ms:
                    return (*self._stop_run(), Finish("gave up"))
                return (Rest(self._config.retry_ms),)
            case Rested():
                return self._again(now_ms)

    def _read(self, read: TurnsRead, now_ms: int) -> Effects:
        """See what is left to do: somebody may have been here before."""
        wish, summary = self._wish, read.summary
        there = {message.message_id: message for message in read.messages}
        if read.gone or any(message_id not in there for message_id in wish.message_ids):
            return (Finish("gone"),)
        messages = [there[message_id] for message_id in wish.message_ids]
        self._replaces = summary.position if summary is not None else None
        self._summary = ""
        if summary is not None and summary.upto_id in wish.message_ids:
            self._summary = summary.text
            messages = messages[wish.message_ids.index(summary.upto_id) + 1 :]
        elif self._replaces != wish.replaces:
            return (Finish("overtaken"),)
        elif summary is not None and summary.upto_id == wish.based_on:
            self._summary = summary.text
        self._left = exchanges_of(messages)
        self._try = 0
        return self._next_step(now_ms)

    def _next_step(self, now_ms: int) -> Effects:
        self._storing = self._step = None
        if not self._left:
            return (Finish("stored"),)
        if now_ms >= self._give_up_at_ms:
            return (Finish("gave up"),)
        config = self._config
        output = min(self._tokens_max, config.context_length // 4)
        planned = self._plan[self._try]
        shown = self._shown() if config.rewrites else ""
        count, tokens = fitting(config, shown, self._left, output, planned.exchanges)
        if not count:
            return (Finish("does not fit"),)
        last = self._left[count - 1].last
        spec = background_run(
            config,
            f"{self._wish.fold_id}-{last.position}-{self._try}",
            self._wish.user_id,
            tokens,
            sampling=Sampling(
                max_tokens=output,
                temperature=planned.temperature,
                seed=last.position,
            ),
            now_ms=now_ms,
        )
        self._step = _Step(tuple(self._left[:count]), spec)
        return (RunModel(spec, max(1, self._give_up_at_ms - now_ms)),)

    def _shown(self) -> str:
        """Return the summary as the prompt holds it: within its share, whoever wrote it."""
        notes = notes_of(self._summary) or ()
        codec = self._config.codec
        return summary_of(newest_within(notes, self._tokens_max, lambda n: len(codec.encode(n))))

    def _answered(self, ended: RunEnded, now_ms: int) -> Effects:
        step = self._step
        assert step is not None, "a run was asked for"
        text = checked(
            self._config,
            self._shown(),
            step.exchanges,
            ended.text,
            ended.outcome,
            self._tokens_max,
        )
        if text is None:
            return self._refuse(ended, now_ms)
        last = step.exchanges[-1].last
        summary = Summary(
            chat_id=self._wish.chat_id,
            position=last.position,
            text=text,
            created_at_ms=now_ms,
            upto_id=last.message_id,
        )
        self._storing = StoreSummary(summary, self._replaces)
        return (self._storing,)

    def _refuse(self, ended: RunEnded, now_ms: int) -> Effects:
        """Try with fewer turns, at last with another throw of the dice; then leave it."""
        if ended.outcome.finish_reason not in ("stop", "length"):
            return (Finish("not run"),)
        assert self._step is not None, "a run was asked for"
        had = len(self._step.exchanges)
        for number in range(self._try + 1, len(self._plan)):
            planned = self._plan[number]
            if planned.exchanges < had or planned.temperature:
                self._try = number
                return self._next_step(now_ms)
        return (Finish("refused"),)

    def _lost(self, lost: RunLost) -> Effects:
        return (*(self._stop_run() if lost.waited else ()), Finish("gave up"))

    def _stop_run(self) -> Effects:
        if self._step is None or self._storing is not None:
            return ()
        return (StopRun(self._step.spec.run_id, self._config.pool),)

    def _stored(self, now_ms: int) -> Effects:
        stored, step = self._storing, self._step
        assert stored is not None and step is not None, "a summary was to be stored"
        self._summary = stored.summary.text
        self._replaces = stored.summary.position
        self._left = self._left[len(step.exchanges) :]
        self._try = 0
        return self._next_step(now_ms)

    def _again(self, now_ms: int) -> Effects:
        """Repeat the step that failed."""
        if self._storing is not None:
            return (self._storing,)
        if self._step is not None:
            return (RunModel(self._step.spec, max(1, self._give_up_at_ms - now_ms)),)
        return (ReadTurns(self._wish),)
