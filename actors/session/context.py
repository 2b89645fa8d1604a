"""The context of a turn: what of a conversation the model is shown. Pure.

Today: system prompt, the newest turns verbatim, the new message. The running summary and
retrieved older facts have their place between system prompt and verbatim turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from actors.session.config import ModelContext
from contracts.errors import Problem, Refused
from contracts.ports.text import Turn
from contracts.records import Message
from contracts.runs import Sampling


@dataclass(frozen=True, slots=True)
class Context:
    """The prompt of a turn. `sampling` is complete, its `max_tokens` no more than what is left
    of the window; `left_out` counts the oldest turns that did not fit."""

    tokens: tuple[int, ...]
    sampling: Sampling
    left_out: int


def turns_of(messages: Sequence[Message]) -> list[Turn]:
    """Return the turns that messages stand for: pending and empty answers say nothing."""
    return [
        Turn(role=message.role, content=message.content)
        for message in messages
        if message.status != "pending" and (message.role == "user" or message.content)
    ]


def build_context(
    model: ModelContext, earlier: Sequence[Message], content: str, sampling: Sampling
) -> Context:
    """Return the longest prompt, newest turns kept, that leaves room for the answer.

    Args:
        earlier: the chat's messages before the new one, oldest first.
        content: the new message.
        sampling: `max_tokens` 0 asks for what fits, up to the model's `max_output`.
    Raises:
        Refused: `prompt_too_long`, when even the new message alone does not fit.
    """
    wanted = sampling.max_tokens or model.max_output
    reserve = max(1, min(wanted, model.output_reserve))
    room = model.context_length - reserve
    system = [Turn("system", model.system_prompt)] if model.system_prompt else []
    turns = turns_of(earlier)
    new = Turn("user", content)

    def prompt_from(start: int) -> tuple[int, ...]:
        return model.codec.render_chat([*system, *turns[start:], new])

    starts = [i for i, turn in enumerate(turns) if turn.role == "user"] + [len(turns)]
    low, high = 0, len(starts) - 1
    while low < high:
        middle = (low + high) // 2
        if len(prompt_from(starts[middle])) <= room:
            high = middle
        else:
            low = middle + 1
    tokens = prompt_from(starts[low])
    if len(tokens) > room:
        raise Refused(
            Problem(
                code="prompt_too_long",
                detail=(
                    f"The message is {len(tokens)} tokens long with its frame; the model "
                    f"{model.model} takes at most {room} ({model.context_length} less "
                    f"{reserve} for the answer)."
                ),
            )
        )
    max_tokens = min(wanted, model.context_length - len(tokens))
    complete = msgspec.structs.replace(
        sampling, max_tokens=max_tokens, min_tokens=min(sampling.min_tokens, max_tokens)
    )
    return Context(tokens=tokens, sampling=complete, left_out=starts[low])
