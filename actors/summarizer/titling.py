"""The machine of one title: every decision from the wish to the name of a chat. Pure.

One run, greedy; whatever goes wrong, the chat keeps the title that it has.
"""

import unicodedata

from actors.summarizer.background import background_run
from actors.summarizer.config import SummarizerConfig
from actors.summarizer.prompting import exchanges_of, title_prompt_of
from actors.summarizer.state import (
    Begin,
    ExchangeRead,
    Finish,
    ReadExchange,
    Rest,
    Rested,
    RunEnded,
    RunLost,
    RunModel,
    SetTitle,
    StepFailed,
    StopRun,
    TitleEffect,
    TitleMessage,
    TitleSet,
)
from contracts.memory import TitleWanted
from contracts.runs import RunOutcome, RunSpec, Sampling

Effects = tuple[TitleEffect, ...]
TITLE_CHARS_MAX = 80
_TITLE_WORDS_MAX = 12
_TITLE_TOKENS_MAX = 40
_LABEL = "title:"
_QUOTES = "\"'“”‘’«»„*#` "
_SPOKEN = ("user:", "assistant:", "system:")


def title_in(text: str, outcome: RunOutcome) -> str | None:
    """Return the title that a model's answer is, None if it is none.

    It ended by itself and is one line of at most `TITLE_CHARS_MAX` characters and twelve words,
    without quotation marks around it or a full stop after it. A character that is not shown, a
    role's mark or a speaker's name at the beginning makes it none.
    """
    title = text.strip()
    if outcome.finish_reason != "stop" or len(title.splitlines()) != 1:
        return None
    if title.casefold().startswith(_LABEL):
        title = title[len(_LABEL) :]
    title = title.strip(_QUOTES).rstrip(".").strip(_QUOTES)
    if not 0 < len(title) <= TITLE_CHARS_MAX or len(title.split()) > _TITLE_WORDS_MAX:
        return None
    hidden = any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn") for c in title)
    forged = "<|" in title or title.casefold().startswith(_SPOKEN)
    wordless = not any(c.isalnum() for c in title)
    return None if hidden or forged or wordless else title


class TitleMachine:
    """One title; it is over when it has asked to `Finish`."""

    def __init__(self, config: SummarizerConfig, wish: TitleWanted, now_ms: int) -> None:
        self._config = config
        self._wish = wish
        self._give_up_at_ms = now_ms + config.patience_ms
        self._spec: RunSpec | None = None
        self._setting: SetTitle | None = None

    def handle(self, message: TitleMessage, now_ms: int) -> Effects:
        """Decide."""
        match message:
            case Begin():
                return (ReadExchange(self._wish),)
            case ExchangeRead():
                return self._read(message, now_ms)
            case RunEnded(text, outcome):
                title = title_in(text, outcome)
                if title is None:
                    return (Finish("refused"),)
                self._setting = SetTitle(self._wish.chat_id, title, self._wish.instead_of)
                return (self._setting,)
            case TitleSet():
                return (Finish("named"),)
            case RunLost(waited):
                return (*(self._stop_run() if waited else ()), Finish("gave up"))
            case StepFailed():
                if now_ms >= self._give_up_at_ms:
                    return (*self._stop_run(), Finish("gave up"))
                return (Rest(self._config.retry_ms),)
            case Rested():
                return self._again(now_ms)

    def _read(self, read: ExchangeRead, now_ms: int) -> Effects:
        if read.messages is None or read.title is None:
            return (Finish("gone"),)
        if read.title != self._wish.instead_of:
            return (Finish("overtaken"),)
        config = self._config
        (exchange,) = exchanges_of(read.messages)
        tokens = title_prompt_of(config, exchange)
        if len(tokens) > config.context_length - _TITLE_TOKENS_MAX:
            return (Finish("does not fit"),)
        self._spec = background_run(
            config,
            self._wish.title_id,
            self._wish.user_id,
            tokens,
            sampling=Sampling(max_tokens=_TITLE_TOKENS_MAX, temperature=0.0),
            now_ms=now_ms,
        )
        return self._run(self._spec, now_ms)

    def _run(self, spec: RunSpec, now_ms: int) -> Effects:
        return (RunModel(spec, max(1, self._give_up_at_ms - now_ms)),)

    def _stop_run(self) -> Effects:
        if self._spec is None or self._setting is not None:
            return ()
        return (StopRun(self._spec.run_id, self._config.pool),)

    def _again(self, now_ms: int) -> Effects:
        """Repeat the step that failed."""
        if self._setting is not None:
            return (self._setting,)
        if self._spec is not None:
            return self._run(self._spec, now_ms)
        return (ReadExchange(self._wish),)
