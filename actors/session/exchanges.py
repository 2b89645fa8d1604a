"""Messages as a model reads them: exchanges of turns, attachments in front, their cost. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from actors.runtime.notes import one_line
from actors.session.config import ModelContext
from contracts.ports.text import TextCodec, Turn
from contracts.records import Attachment, Message

_FRAME_TOKENS = 4
"""What a template usually puts around a turn."""

_CUT_MARK = "\n[cut here: the rest of the file does not fit]"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A user's message and what was answered. `position` is the first message's, `last` the
    last one. `cost` estimates its tokens."""

    position: int
    last: Message
    message_ids: tuple[str, ...]
    turns: tuple[Turn, ...]
    cost: int


def cost_of(model: ModelContext, text: str) -> int:
    """Estimate the tokens of a turn with this text, special tokens in it as the text that they
    are; the true count is the rendered prompt's."""
    return tokens_of(model.codec, text) + _FRAME_TOKENS


def tokens_of(codec: TextCodec, text: str) -> int:
    """Return how many tokens `text` makes as the content of a turn. What a template adds by
    itself, a default system prompt for one, does not count."""
    empty, full = (codec.render_chat([Turn("user", content)]) for content in ("", text))
    return max(0, len(full) - len(empty))


class TurnCache:
    """The turns of one chat's messages and their costs, once made; another model's are made
    anew."""

    def __init__(self) -> None:
        self._model = ""
        self._known: dict[str, tuple[Turn, int]] = {}

    def turn(self, model: ModelContext, message: Message) -> tuple[Turn, int]:
        """Return the turn that a message is, and its cost."""
        if model.model != self._model:
            self._known.clear()
            self._model = model.model
        known = self._known.get(message.message_id)
        if known is None:
            content = content_of(model, message.content, message.attachments)
            known = Turn(message.role, content), cost_of(model, content)
            if message.status != "pending":
                self._known[message.message_id] = known
        return known

    def forget_but(self, messages: Sequence[Message]) -> None:
        """Forget what is not among `messages`, once there is much of it."""
        if len(self._known) > 2 * len(messages) + 64:
            kept = {m.message_id for m in messages}
            self._known = {i: known for i, known in self._known.items() if i in kept}


def content_of(model: ModelContext, content: str, attachments: Sequence[Attachment]) -> str:
    """Return a message's text with its attachments' in front, these cut to their share: the
    same for the same message, so that a prompt's prefix stays as it is."""
    if not attachments:
        return content
    left = model.tokens(model.shares.attachments)
    parts = []
    for file in attachments:
        name = one_line(file.name)
        if not file.text:
            parts.append(f"[Attached file without text: {name}]")
            continue
        text, cost = _cut(model, file.text, left)
        left -= cost
        parts.append(f"Attached file {name}:\n{text}")
    return "\n\n".join((*parts, content))


def cut_attachments(model: ModelContext, attachments: Sequence[Attachment]) -> int:
    """Return how many of a message's attachments `content_of` shortens."""
    whole = content_of(model, "", attachments)
    return whole.count(_CUT_MARK) - sum(file.text.count(_CUT_MARK) for file in attachments)


def exchanges_of(
    model: ModelContext, messages: Sequence[Message], cache: TurnCache | None = None
) -> list[Exchange]:
    """Return the exchanges of consecutive messages, oldest first. Pending and empty answers say
    nothing; answers whose prompt is not among the messages are left out."""
    cache = cache or TurnCache()
    found: list[Exchange] = []
    begun: list[Message] = []
    for message in messages:
        if message.role == "user":
            if begun:
                found.append(_exchange(model, begun, cache))
            begun = [message]
        elif begun and message.status != "pending":
            begun.append(message)
    if begun:
        found.append(_exchange(model, begun, cache))
    return found


def place_of(path: Sequence[Message], position: int) -> int:
    """Return the index of the first message of `path` at or after `position`."""
    return bisect_left(path, position, key=lambda message: message.position)


def is_on(path: Sequence[Message], message_id: str, position: int) -> bool:
    """Say whether the message of this id stands on `path` at `position`."""
    index = place_of(path, position)
    return index < len(path) and path[index].message_id == message_id


def _exchange(model: ModelContext, messages: Sequence[Message], cache: TurnCache) -> Exchange:
    made = [
        cache.turn(model, message)
        for message in messages
        if message.role == "user" or message.content
    ]
    return Exchange(
        position=messages[0].position,
        last=messages[-1],
        message_ids=tuple(message.message_id for message in messages),
        turns=tuple(turn for turn, _ in made),
        cost=sum(cost for _, cost in made),
    )


def _cut(model: ModelContext, text: str, tokens_max: int) -> tuple[str, int]:
    """Return the beginning of `text` that costs at most about `tokens_max`, and its cost."""
    cost = tokens_of(model.codec, text)
    if cost <= tokens_max:
        return text, cost
    end = len(text)
    while cost > tokens_max and end:
        end = min(end - 1, end * max(0, tokens_max) // cost)
        cost = tokens_of(model.codec, text[:end])
    return text[:end] + _CUT_MARK, cost
