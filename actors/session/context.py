"""The context of a turn: what of a conversation the model is shown. Pure (ADR 0016).

In this order: the system prompt with the running summary, the turns since the summary word for
word, and the new message with the passages of older turns that it may refer to in front of it.
So from one turn to the next only the end changes, and the engine's prefix cache stays warm,
until turns are folded into the summary or, where that is late, left out in one large step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from actors.runtime.notes import SUMMARY_HEADING, newest_within, notes_of, summary_of
from actors.session.config import ModelContext
from actors.session.exchanges import Exchange
from actors.session.retrieval import Passage, quoted
from contracts.errors import Problem, Refused
from contracts.ports.text import Turn
from contracts.records import Attachment
from contracts.runs import LeftOut, Picture, Sampling


@dataclass(frozen=True, slots=True)
class Material:
    """What there is to show. `exchanges` are those since the summary, oldest first; of them
    `exchanges[:first]` are left out in any case. `content` is the new message's, as are
    `pictures`; each picture is of up to `picture_tokens` tokens."""

    content: str
    exchanges: Sequence[Exchange] = ()
    first: int = 0
    system_prompt: str = ""
    summary: str = ""
    passages: Sequence[Passage] = ()
    pictures: Sequence[Attachment] = ()
    picture_tokens: int = 0

    def shown(self, first: int) -> tuple[Attachment, ...]:
        """Return the pictures of a prompt that begins with the exchange `first`."""
        earlier = (picture for each in self.exchanges[first:] for picture in each.pictures)
        return (*earlier, *self.pictures)


@dataclass(frozen=True, slots=True)
class Context:
    """The prompt of a turn. `sampling` is complete, its `max_tokens` no more than what is left
    of the window; `first` is the first exchange of the material that it shows."""

    tokens: tuple[int, ...]
    sampling: Sampling
    first: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)
    pictures: tuple[Picture, ...] = ()


def summary_within(model: ModelContext, text: str) -> str:
    """Return a summary cut to the model's share for it, at a note; '' if there is no share."""
    limit = model.tokens(model.shares.summary)
    if not text or not limit:
        return ""
    notes = notes_of(text) or ()
    kept = newest_within(notes, limit, lambda line: len(model.codec.encode(line)))
    return summary_of(kept)


def first_shown(model: ModelContext, material: Material, room: int) -> int:
    """Return the first exchange to show: `material.first` if all from there on fit into `room`
    by their costs, else the first from which they take no more than the low mark."""
    fixed = (system_text(material), new_text(material))
    budget = room - sum(len(model.codec.encode(text)) for text in fixed)
    budget -= len(material.pictures) * material.picture_tokens
    costs = [exchange.cost for exchange in material.exchanges]
    if sum(costs[material.first :]) <= budget:
        return material.first
    return _start_within(
        costs, min(budget, model.tokens(model.shares.verbatim_low)), material.first
    )


def system_text(material: Material) -> str:
    """Return the system message: the prompt, then the summary; '' if there is neither."""
    summary = f"{SUMMARY_HEADING}\n{material.summary}" if material.summary else ""
    return "\n\n".join(part for part in (material.system_prompt, summary) if part)


def new_text(material: Material) -> str:
    """Return the new message, with the passages in front of it."""
    passages = quoted(material.passages)
    return f"{passages}\n\n{material.content}" if passages else material.content


def build_context(model: ModelContext, material: Material, sampling: Sampling) -> Context:
    """Return the prompt, within the window less the output's reserve.

    The oldest exchanges make way first, then the passages, then the summary; the system prompt
    and the new message stay.

    Args:
        sampling: `max_tokens` 0 asks for what fits, up to the model's `max_output`.
    Raises:
        Refused: `prompt_too_long`, when even the new message alone does not fit.
    """
    wanted = sampling.max_tokens or model.max_output
    reserve = max(1, min(wanted, model.output_reserve))
    room = model.context_length - reserve
    tokens: tuple[int, ...] = ()
    first = 0
    for shown in _shortened(material):
        tokens, first = _fitted(model, shown, room)
        length = _length(tokens, shown, first)
        if length <= room:
            break
    else:
        raise Refused(
            Problem(
                code="prompt_too_long",
                detail=(
                    f"The message is {length} tokens long with its frame; the model "
                    f"{model.model} takes at most {room} ({model.context_length} less "
                    f"{reserve} for the answer)."
                ),
            )
        )
    max_tokens = min(wanted, model.context_length - length)
    complete = msgspec.structs.replace(
        sampling, max_tokens=max_tokens, min_tokens=min(sampling.min_tokens, max_tokens)
    )
    left_out = LeftOut(
        exchanges=first,
        summary=bool(material.summary) and not shown.summary,
        passages=bool(material.passages) and not shown.passages,
    )
    pictures = _placed(model, tokens, material.shown(first), material.picture_tokens)
    return Context(tokens, complete, first, left_out, pictures)


def _length(tokens: Sequence[int], material: Material, first: int) -> int:
    """Return the most tokens that the engine makes of the prompt."""
    return len(tokens) + len(material.shown(first)) * material.picture_tokens


def _placed(
    model: ModelContext, tokens: Sequence[int], shown: Sequence[Attachment], picture_tokens: int
) -> tuple[Picture, ...]:
    """Return the pictures with the places of their marks.

    Raises:
        Refused: the template did not give each of them one.
    """
    mark = model.codec.picture_mark
    places = [at for at, token in enumerate(tokens) if token == mark] if shown else []
    if len(places) != len(shown):
        detail = f"{model.model} can't be given pictures in this conversation."
        raise Refused(Problem(code="invalid_value", detail=detail))
    return tuple(
        Picture(at=at, name=f"{file.file_id}.data", digest=file.digest, tokens=picture_tokens)
        for at, file in zip(places, shown, strict=True)
    )


def _shortened(material: Material) -> Sequence[Material]:
    """Return what to try in turn: all, then without passages, then without the summary."""
    tries = [material]
    if material.passages:
        tries.append(replace(tries[-1], passages=()))
    if material.summary:
        tries.append(replace(tries[-1], summary=""))
    return tries


def _fitted(model: ModelContext, material: Material, room: int) -> tuple[tuple[int, ...], int]:
    """Return the prompt and its first exchange; longer than `room` only without any exchange."""
    costs = [exchange.cost for exchange in material.exchanges]
    first = material.first
    tokens = _render(model, material, first)
    while _length(tokens, material, first) > room and first < len(costs):
        # It was chosen by costs, which are estimates: scale them to what was rendered.
        fixed = _length(_render(model, material, len(costs)), material, len(costs))
        estimated = max(1, sum(costs[first:]))
        scale = (_length(tokens, material, first) - fixed) / estimated
        goal = min(room - fixed, model.tokens(model.shares.verbatim_low)) / max(scale, 1.0)
        first = _start_within(costs, int(goal), first + 1)
        tokens = _render(model, material, first)
    return tokens, first


def _render(model: ModelContext, material: Material, first: int) -> tuple[int, ...]:
    system = system_text(material)
    turns = [Turn("system", system)] if system else []
    for exchange in material.exchanges[first:]:
        turns += exchange.turns
    new = Turn("user", new_text(material), pictures=(0,) * len(material.pictures))
    return model.codec.render_chat([*turns, new])


def _start_within(costs: Sequence[int], limit: int, first: int) -> int:
    """Return the lowest start, at least `first`, from which the costs sum up to at most
    `limit`."""
    start, total = len(costs), 0
    while start > first and total + costs[start - 1] <= limit:
        start -= 1
        total += costs[start]
    return start
