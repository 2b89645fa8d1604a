"""The context of a turn."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from actors.session.config import ModelContext
from actors.session.context import Material, build_context
from actors.session.exchanges import Exchange, content_of, exchanges_of
from actors.session.retrieval import Passage
from contracts.errors import Refused
from contracts.ports.text import TextDecoder, ToolForm, Turn
from contracts.records import Attachment, Message, Role
from contracts.runs import Sampling


class WordCodec:
    """One token a word, one more a turn, one for the answer to come."""

    eos_tokens = frozenset((0,))

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(len(word) for word in text.split())

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join("x" * token for token in tokens)

    tool_form: ToolForm = ""
    picture_mark: int | None = None

    def render_chat(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Mapping[str, Any]] = (),  # noqa: ARG002
    ) -> tuple[int, ...]:
        return (*(t for turn in turns for t in (1000, *self.encode(turn.content))), 1001)

    def token_bytes(self, token: int) -> bytes:
        raise NotImplementedError

    def decoder(self) -> TextDecoder:
        raise NotImplementedError


def model(context_length: int, *, system_prompt: str = "") -> ModelContext:
    return ModelContext(
        model="m",
        pool="default",
        codec=WordCodec(),
        context_length=context_length,
        output_reserve=10,
        max_output=40,
        system_prompt=system_prompt,
    )


def message(position: int, content: str, role: Role | None = None) -> Message:
    return Message(
        message_id=f"msg_{position}",
        chat_id="chat",
        position=position,
        role=role or ("user" if position % 2 == 0 else "assistant"),
        content=content,
        created_at_ms=0,
    )


def exchanges(model: ModelContext, *messages: Message) -> list[Exchange]:
    return exchanges_of(model, messages)


def long_ones(model: ModelContext, count: int = 10) -> list[Exchange]:
    """Exchanges of 18 tokens, estimated at 24."""
    return exchanges_of(model, [message(i, "word " * 8) for i in range(2 * count)])


def test_context_all_fits_keeps_every_turn() -> None:
    small = model(100)
    shown = exchanges(small, message(0, "a bb"), message(1, "ccc"))
    context = build_context(small, Material("dddd", shown), Sampling(max_tokens=0))
    assert context.tokens == (1000, 1, 2, 1000, 3, 1000, 4, 1001)
    assert (context.first, context.left_out.exchanges) == (0, 0)
    assert context.sampling.max_tokens == 40


def test_context_too_long_drops_the_oldest_exchanges_in_one_large_step() -> None:
    wide = model(170)
    context = build_context(wide, Material("new", long_ones(wide)), Sampling(max_tokens=20))
    assert context.left_out.exchanges == context.first == 9
    assert context.tokens[:2] == (1000, 4)
    again = build_context(wide, Material("new", long_ones(wide, 11), 9), Sampling(max_tokens=20))
    assert again.first == 9, "what was shown is shown on: the prefix stays"


def test_context_holds_system_prompt_summary_turns_passages_and_message_in_this_order() -> None:
    wide = model(400)
    material = Material(
        content="now",
        exchanges=exchanges(wide, message(0, "a"), message(1, "bb")),
        system_prompt="be brief",
        summary="- fact",
        passages=(Passage(0, 1, "old", "answer"),),
    )
    tokens = build_context(wide, material, Sampling(max_tokens=5)).tokens
    texts = wide.codec.decode([t for t in tokens if t < 1000]).split()
    told = "be brief Summary of the conversation so far: - fact a bb "
    told += "Quoted from earlier turns: Turn 1 User: old Assistant: answer now"
    assert list(map(len, texts)) == list(map(len, told.split()))
    assert tokens.count(1000) == 4


def test_context_system_prompt_is_never_dropped() -> None:
    wide = model(160)
    material = Material("new", long_ones(wide), system_prompt="s" * 77)
    built = build_context(wide, material, Sampling(max_tokens=0))
    assert built.tokens[:2] == (1000, 77)
    assert built.first > 0


def test_context_passages_then_summary_make_way_for_a_long_message() -> None:
    tight = model(60)
    passages = (Passage(0, 1, "word " * 10, ""),)
    material = Material("word " * 30, summary="- a fact", passages=passages)
    without_passages = build_context(tight, material, Sampling(max_tokens=20))
    assert (without_passages.left_out.passages, without_passages.left_out.summary) == (True, False)
    material = Material("word " * 46, summary="- a fact", passages=passages)
    without_both = build_context(tight, material, Sampling(max_tokens=20))
    assert (without_both.left_out.passages, without_both.left_out.summary) == (True, True)


def test_context_answer_gets_no_more_than_the_window_leaves() -> None:
    material = Material("word " * 15)
    context = build_context(model(30), material, Sampling(max_tokens=500, min_tokens=400))
    assert context.sampling.max_tokens == 30 - len(context.tokens)
    assert context.sampling.min_tokens == context.sampling.max_tokens


def test_context_message_longer_than_window_is_refused_with_both_numbers() -> None:
    material = Material("word " * 40, long_ones(model(30)), summary="- fact")
    with pytest.raises(Refused) as refused:
        build_context(model(30), material, Sampling(max_tokens=0))
    assert refused.value.problem.code == "prompt_too_long"
    assert "42 tokens" in refused.value.problem.detail
    assert "at most 20" in refused.value.problem.detail


def test_exchanges_leave_out_pending_and_empty_answers_and_answers_without_their_prompt() -> None:
    wide = model(100)
    orphan = message(1, "late", "assistant")
    pending = msgspec.structs.replace(message(5, "half"), status="pending")
    found = exchanges(wide, orphan, message(2, "a"), message(3, "", "assistant"), message(4, "b"),
                      pending)  # fmt: skip
    assert [[turn.content for turn in x.turns] for x in found] == [["a"], ["b"]]
    assert [x.message_ids for x in found] == [("msg_2", "msg_3"), ("msg_4",)]


def test_attachments_stand_in_front_of_the_message_and_are_cut_to_their_share() -> None:
    narrow = model(60)
    short = Attachment(file_id="f1", name="a\nb.txt", media_type="text/plain", text="one two")
    image = Attachment(file_id="f2", name="c.png", media_type="image/png", kind="image")
    long = Attachment(file_id="f3", name="d.txt", media_type="text/plain", text="w " * 50)
    text = content_of(narrow, "what is it?", (short, image, long))
    assert text.startswith("Attached file a b.txt:\none two\n\n[Attached file without text: c.png]")
    assert text.endswith("[cut here: the rest of the file does not fit]\n\nwhat is it?")
    assert len(narrow.codec.encode(text)) < 20 + 35
    assert text == content_of(narrow, "what is it?", (short, image, long))
