"""Pictures in the context of a turn: which are shown, where they stand, what they take."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from actors.runtime.byte_codec import ByteCodec
from actors.session.config import ModelContext, SessionConfig, Shares
from actors.session.context import Context
from actors.session.memory import Memory
from contracts.block_keys import BLOCK_TOKENS, prompt_keys
from contracts.errors import Refused
from contracts.ports.text import Turn
from contracts.records import Attachment, Chat, Message, SessionRecord, Summary
from contracts.runs import Picture, Sampling, Sight

MARK = 999
TOKENS = 50
SIGHT = Sight(pictures=2, tokens=TOKENS)
CHAT = Chat(chat_id="chat", user_id="user", created_at_ms=1, active_at_ms=1)


class SeeingCodec(ByteCodec):
    """Bytes, with a mark for each picture in front of its turn's content."""

    picture_mark = MARK

    def render_chat(
        self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[int, ...]:
        del tools
        rendered: list[int] = []
        for turn in turns:
            rendered += (*(MARK for _ in turn.pictures), *turn.content.encode(), 300)
        return (*rendered, 301)


def model(window: int = 2_000) -> ModelContext:
    return ModelContext(
        model="m",
        pool="default",
        codec=SeeingCodec(),
        context_length=window,
        output_reserve=100,
        max_output=100,
        shares=Shares(summary=0, retrieved=0),
    )


def picture(number: int) -> Attachment:
    return Attachment(
        file_id=f"file_{number}",
        name=f"{number}.png",
        media_type="image/png",
        kind="image",
        digest=f"d{number}",
    )


def asked(position: int, *pictures: Attachment, content: str = "look") -> list[Message]:
    """A prompt at `position` with pictures, and its answer."""
    prompt = Message(
        message_id=f"msg_{position}",
        chat_id="chat",
        position=position,
        role="user",
        content=content,
        created_at_ms=0,
        attachments=pictures,
    )
    answer = replace(
        prompt, message_id=f"msg_{position + 1}", position=position + 1, role="assistant"
    )
    return [prompt, replace(answer, content="seen", attachments=())]


def context(
    path: Sequence[Message],
    *pictures: Attachment,
    sight: Sight | None = SIGHT,
    window: int = 2_000,
    summary: Summary | None = None,
) -> Context:
    memory = Memory(SessionConfig(), SessionRecord(chat=CHAT, summary=summary), None)
    return memory.context(
        model(window), path, "and now?", pictures, Sampling(max_tokens=0), sight=sight
    )


def text_of(made: Context) -> str:
    return ByteCodec().decode(made.tokens)


def test_picture_stands_where_its_turn_is_and_is_referred_to() -> None:
    made = context([*asked(0, picture(1)), *asked(2)], picture(2))
    places = [at for at, token in enumerate(made.tokens) if token == MARK]
    assert made.pictures == (
        Picture(at=places[0], name="file_1.data", digest="d1", tokens=TOKENS),
        Picture(at=places[1], name="file_2.data", digest="d2", tokens=TOKENS),
    )
    assert places[0] == 0
    assert ByteCodec().decode(made.tokens[places[1] :]).startswith("and now?")
    assert "file_" not in text_of(made) and ".png" not in text_of(made)


def test_pictures_count_in_the_window() -> None:
    fits = context([*asked(0, picture(1))], picture(2), window=400)
    assert fits.left_out.exchanges == 0
    assert fits.sampling.max_tokens <= 400 - len(fits.tokens) - 2 * TOKENS
    tight = context([*asked(0, picture(1), content="x" * 200)], picture(2), window=400)
    assert tight.left_out.exchanges == 1
    assert [each.name for each in tight.pictures] == ["file_2.data"]
    with pytest.raises(Refused, match="tokens long"):
        context([], picture(1), picture(2), window=190)


def test_model_that_sees_nothing_is_told_the_name() -> None:
    made = context([*asked(0, picture(1))], sight=None)
    assert made.pictures == ()
    assert "[Attached file without text: 1.png]" in text_of(made)


def test_picture_that_was_never_shown_to_a_model_is_named() -> None:
    made = context([*asked(0, replace(picture(1), digest=""))])
    assert made.pictures == ()
    assert "[Attached file without text: 1.png]" in text_of(made)


def test_newest_pictures_are_shown_and_the_others_said_to_be_left_out() -> None:
    path = [*asked(0, picture(1)), *asked(2, picture(2), picture(3)), *asked(4, picture(4))]
    made = context(path, picture(5))
    assert [each.name for each in made.pictures] == ["file_4.data", "file_5.data"]
    assert made.left_out.pictures == 3
    for number in (1, 2, 3):
        assert f"[Attached file without text: {number}.png]" in text_of(made)


def test_picture_of_a_folded_turn_goes_with_it() -> None:
    summary = Summary(
        chat_id="chat", position=1, text="- It was red.", created_at_ms=0, upto_id="msg_1"
    )
    made = context([*asked(0, picture(1)), *asked(2, picture(2))], summary=summary)
    assert [each.name for each in made.pictures] == ["file_2.data"]
    assert made.left_out.pictures == 0


def test_keys_of_a_prompt_differ_from_the_block_of_the_first_other_picture_on() -> None:
    tokens = tuple(range(4 * BLOCK_TOKENS))
    plain = prompt_keys(tokens)
    one = prompt_keys(tokens, [(BLOCK_TOKENS, "aa")])
    other = prompt_keys(tokens, [(BLOCK_TOKENS, "bb")])
    assert plain[0] == one[0] == other[0]
    assert all(len({*keys}) == 3 for keys in zip(plain[1:], one[1:], other[1:], strict=True))
    assert one == prompt_keys(tokens, [(BLOCK_TOKENS, "aa")])
