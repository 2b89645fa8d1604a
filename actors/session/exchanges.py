"""Messages as a model reads them: exchanges of turns, attachments in front, their cost. Pure."""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from actors.runtime.notes import one_line
from actors.session.config import ModelContext
from contracts.ports.text import TextCodec, Turn
from contracts.records import Attachment, Message
from contracts.runs import Sight

_FRAME_TOKENS = 4
"""What a template usually puts around a turn."""

_CUT_MARK = "\n[cut here: the rest of the file does not fit]"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A user's message and what was answered. `position` is the first message's, `last` the
    last one. `pictures` are those of its messages that are shown, in order. `cost` estimates its
    tokens."""

    position: int
    last: Message
    message_ids: tuple[str, ...]
    turns: tuple[Turn, ...]
    cost: int
    pictures: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """Which pictures of a path the model is shown: those of its messages from `position` on, each
    of up to `tokens` tokens; `left_out` counts the earlier ones."""

    position: int
    tokens: int
    left_out: int = 0

    def of(self, message: Message) -> tuple[Attachment, ...]:
        """Return the pictures of a message that are shown."""
        return pictures_of(message.attachments) if message.position >= self.position else ()


NOTHING_SEEN = Seen(position=1 << 62, tokens=0)


def pictures_of(attachments: Sequence[Attachment]) -> tuple[Attachment, ...]:
    """Return the pictures among attachments that a model can be given."""
    return tuple(file for file in attachments if file.kind == "image" and file.digest)


def without(message: Message, gone: Collection[str]) -> Message:
    """Return a message as it is shown once these of its files were deleted: pictures among them
    are named, texts stay."""
    if not gone or not any(file.file_id in gone for file in message.attachments):
        return message
    left = (replace(f, digest="") if f.file_id in gone else f for f in message.attachments)
    return replace(message, attachments=tuple(left))


def seen_of(path: Sequence[Message], sight: Sight | None, beside: int) -> Seen:
    """Return what is shown of the pictures of `path`: the newest messages' whose pictures, with
    the `beside` of a new message, are as many as the model takes. A message's go together."""
    if sight is None:
        return NOTHING_SEEN
    room, first, left_out = sight.pictures - beside, NOTHING_SEEN.position, 0
    for message in reversed(path):
        count = len(pictures_of(message.attachments))
        if left_out or count > room:
            left_out += count
            continue
        room -= count
        first = message.position
    return Seen(first, sight.tokens, left_out)


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
        self._known: dict[tuple[str, int], tuple[Turn, int]] = {}

    def turn(
        self, model: ModelContext, message: Message, seen: Seen = NOTHING_SEEN
    ) -> tuple[Turn, int]:
        """Return the turn that a message is, and its cost."""
        if model.model != self._model:
            self._known.clear()
            self._model = model.model
        pictures = len(seen.of(message))
        name = message.message_id, pictures * seen.tokens
        known = self._known.get(name)
        if known is None:
            content = content_of(model, message.content, message.attachments, seen=pictures > 0)
            turn = Turn(message.role, content, pictures=(0,) * pictures)
            known = turn, cost_of(model, content) + pictures * (seen.tokens + 1)
            if message.status != "pending":
                self._known[name] = known
        return known

    def forget_but(self, messages: Sequence[Message]) -> None:
        """Forget what is not among `messages`, once there is much of it."""
        if len(self._known) > 2 * len(messages) + 64:
            kept = {m.message_id for m in messages}
            self._known = {name: known for name, known in self._known.items() if name[0] in kept}


def content_of(
    model: ModelContext, content: str, attachments: Sequence[Attachment], *, seen: bool = False
) -> str:
    """Return a message's text with its attachments' in front, these cut to their share: the
    same for the same message, so that a prompt's prefix stays as it is. Pictures that are `seen`
    need no words."""
    if not attachments:
        return content
    left = model.tokens(model.shares.attachments)
    parts = []
    for file in attachments:
        name = one_line(file.name)
        if seen and pictures_of((file,)):
            continue
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
    model: ModelContext,
    messages: Sequence[Message],
    cache: TurnCache | None = None,
    seen: Seen = NOTHING_SEEN,
) -> list[Exchange]:
    """Return the exchanges of consecutive messages, oldest first. Pending and empty answers say
    nothing; answers whose prompt is not among the messages are left out."""
    cache = cache or TurnCache()
    found: list[Exchange] = []
    begun: list[Message] = []
    for message in messages:
        if message.role == "user":
            if begun:
                found.append(_exchange(model, begun, cache, seen))
            begun = [message]
        elif begun and message.status != "pending":
            begun.append(message)
    if begun:
        found.append(_exchange(model, begun, cache, seen))
    return found


def place_of(path: Sequence[Message], position: int) -> int:
    """Return the index of the first message of `path` at or after `position`."""
    return bisect_left(path, position, key=lambda message: message.position)


def is_on(path: Sequence[Message], message_id: str, position: int) -> bool:
    """Say whether the message of this id stands on `path` at `position`."""
    index = place_of(path, position)
    return index < len(path) and path[index].message_id == message_id


def _exchange(
    model: ModelContext, messages: Sequence[Message], cache: TurnCache, seen: Seen
) -> Exchange:
    made = [
        cache.turn(model, message, seen)
        for message in messages
        if message.role == "user" or message.content
    ]
    return Exchange(
        position=messages[0].position,
        last=messages[-1],
        message_ids=tuple(message.message_id for message in messages),
        turns=tuple(turn for turn, _ in made),
        cost=sum(cost for _, cost in made),
        pictures=tuple(picture for message in messages for picture in seen.of(message)),
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
