"""What the model is asked: turns, quoted as data, after the summary so far. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from actors.runtime.notes import one_line, quoted_turn
from actors.summarizer.config import SummarizerConfig
from contracts.ports.text import Turn
from contracts.records import Message

_REQUEST = "Write the new summary."
_TITLE_REQUEST = "Write a title of at most six words for this chat."
_TURN_PART = 6
"""A speaker's text takes at most this part of the window; of a longer one, beginning and end."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A user's message and its answers; `last` ends it."""

    user: str
    assistant: str
    last: Message


def exchanges_of(messages: Sequence[Message]) -> list[Exchange]:
    """Return the exchanges of consecutive messages, oldest first."""
    found: list[Exchange] = []
    for message in messages:
        if message.role == "user" or not found:
            found.append(Exchange(_said(message), "", message))
            continue
        before = found[-1]
        answers = " ".join(part for part in (before.assistant, _said(message)) if part)
        found[-1] = Exchange(before.user, answers, message)
    return found


def prompt_of(
    config: SummarizerConfig, summary: str, exchanges: Sequence[Exchange]
) -> tuple[int, ...]:
    """Return the prompt that asks for the summary after these exchanges."""
    limit = config.context_length // _TURN_PART
    quoted = "\n".join(
        quoted_turn(_shortened(config, x.user, limit), _shortened(config, x.assistant, limit))
        for x in exchanges
    )
    parts = [f"Summary so far:\n{summary}"] if summary else []
    parts += [f"New turns:\n{quoted}", _REQUEST]
    turns = [Turn("system", config.instruction)] if config.instruction else []
    return config.codec.render_chat([*turns, Turn("user", "\n\n".join(parts))])


def title_prompt_of(config: SummarizerConfig, exchange: Exchange) -> tuple[int, ...]:
    """Return the prompt that asks for the title of a chat that begins with this exchange."""
    limit = config.context_length // _TURN_PART
    quoted = quoted_turn(
        _shortened(config, exchange.user, limit), _shortened(config, exchange.assistant, limit)
    )
    turns = [Turn("system", config.title_instruction)] if config.title_instruction else []
    return config.codec.render_chat([*turns, Turn("user", f"{_TITLE_REQUEST}\n\n{quoted}")])


def fitting(
    config: SummarizerConfig, summary: str, exchanges: Sequence[Exchange], output: int, most: int
) -> tuple[int, tuple[int, ...]]:
    """Return how many of the first exchanges, `most` at most, fit into one prompt that leaves
    `output` tokens of the window, and that prompt; 0 if not even one does."""
    room = config.context_length - output
    for count in range(min(most, len(exchanges)), 0, -1):
        tokens = prompt_of(config, summary, exchanges[:count])
        if len(tokens) <= room:
            return count, tokens
    return 0, ()


def _said(message: Message) -> str:
    names = "".join(f"[attached: {one_line(file.name)}] " for file in message.attachments)
    return names + one_line(message.content)


def _shortened(config: SummarizerConfig, text: str, tokens_max: int) -> str:
    cost = len(config.codec.encode(text))
    if cost <= tokens_max:
        return text
    kept = max(2, len(text) * tokens_max // cost)
    return f"{text[: kept * 2 // 3]} … {text[-(kept // 3) :]}"
