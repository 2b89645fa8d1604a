"""The context of a turn."""

from collections.abc import Sequence

import pytest

from actors.session.config import ModelContext
from actors.session.context import build_context
from contracts.errors import Refused
from contracts.ports.text import TextDecoder, Turn
from contracts.records import Message, Role
from contracts.runs import Sampling


class WordCodec:
    """One token a word, one more a turn, one for the answer to come."""

    eos_tokens = frozenset((0,))

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(len(word) for word in text.split())

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join("x" * token for token in tokens)

    def render_chat(self, turns: Sequence[Turn]) -> tuple[int, ...]:
        return (*(t for turn in turns for t in (1000, *self.encode(turn.content))), 1001)

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


def test_context_all_fits_keeps_every_turn() -> None:
    earlier = [message(0, "a bb"), message(1, "ccc")]
    context = build_context(model(100), earlier, "dddd", Sampling(max_tokens=0))
    assert context.tokens == (1000, 1, 2, 1000, 3, 1000, 4, 1001)
    assert context.left_out == 0
    assert context.sampling.max_tokens == 40


def test_context_too_long_drops_the_oldest_whole_exchanges() -> None:
    earlier = [message(i, "word " * 8) for i in range(10)]
    context = build_context(model(60), earlier, "new", Sampling(max_tokens=20))
    assert context.left_out == 6
    assert len(context.tokens) + 10 <= 60
    assert context.tokens[0] == 1000


def test_context_system_prompt_is_never_dropped() -> None:
    earlier = [message(i, "word " * 8) for i in range(10)]
    built = build_context(model(60, system_prompt="s" * 77), earlier, "new", Sampling(max_tokens=0))
    assert built.tokens[:2] == (1000, 77)


def test_context_answer_gets_no_more_than_the_window_leaves() -> None:
    context = build_context(model(30), [], "word " * 15, Sampling(max_tokens=500, min_tokens=400))
    assert context.sampling.max_tokens == 30 - len(context.tokens)
    assert context.sampling.min_tokens == context.sampling.max_tokens


def test_context_message_longer_than_window_is_refused_with_both_numbers() -> None:
    with pytest.raises(Refused) as refused:
        build_context(model(30), [], "word " * 40, Sampling(max_tokens=0))
    assert refused.value.problem.code == "prompt_too_long"
    assert "42 tokens" in refused.value.problem.detail
    assert "at most 20" in refused.value.problem.detail


def test_context_pending_and_empty_answers_say_nothing() -> None:
    empty = message(1, "", "assistant")
    context = build_context(model(100), [message(0, "a"), empty], "b", Sampling(max_tokens=5))
    assert context.tokens == (1000, 1, 1000, 1, 1001)
