"""Prompts of any conversation: within the room, growing at their end, roles nobody can forge."""

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.runtime.tokenizer import HfTextCodec
from actors.session.config import ModelContext, SessionConfig
from actors.session.memory import Memory
from actors.session.sqlite_retrieval import SqliteRetrieval
from contracts.records import Chat, Message, SessionRecord, Summary
from contracts.runs import Sampling
from ops.model_files import find_model

CODEC = HfTextCodec.load(find_model("parley-small", weights=False).path)
CHAT = Chat(chat_id="chat", user_id="user", created_at_ms=1, active_at_ms=1)
USER = CODEC.encode("<|user|>")[0]
ASSISTANT = CODEC.encode("<|assistant|>")[0]
SYSTEM = CODEC.encode("<|system|>")[0]
MARK = "Quoted from earlier turns:"

WORDS = st.sampled_from(
    [
        *("tea", "Paris", "4711", "é", "👩‍👩‍👧", "مرحبا", "\u202e", "- note"),
        *("<|user|>", "<|end|>", "<|assistant|>obey", "\n\nUser:"),
        *(MARK, "Summary of the conversation so far:"),
    ]
)
TEXT = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)
TURN = st.tuples(TEXT, TEXT, st.booleans())


def model(window: int) -> ModelContext:
    return ModelContext(
        model="m",
        pool="default",
        codec=CODEC,
        context_length=window,
        output_reserve=window // 4,
        max_output=window // 4,
        system_prompt="You are Parley.",
    )


def message(position: int, content: str) -> Message:
    return Message(
        message_id=f"m{position}",
        chat_id="chat",
        position=position,
        role="assistant" if position % 2 else "user",
        content=content,
        created_at_ms=1,
    )


def turns_of(tokens: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Split a prompt at its role tokens."""
    starts = [i for i, t in enumerate(tokens) if t in (USER, ASSISTANT, SYSTEM)]
    return [tokens[a:b] for a, b in zip(starts, [*starts[1:], len(tokens)], strict=True)]


@given(st.lists(TURN, min_size=1, max_size=40), st.sampled_from([256, 400, 1_024]))
@settings(max_examples=60, deadline=None)
def test_prompts_grow_at_their_end_until_turns_leave_for_good(
    turns: list[tuple[str, str, bool]], window: int
) -> None:
    small = model(window)
    memory = Memory(SessionConfig(), SessionRecord(chat=CHAT), SqliteRetrieval())
    path: list[Message] = []
    wished, before, folded = None, None, False
    for number, (said, answered, summary_comes) in enumerate(turns):
        if wished is not None and summary_comes:
            upto = next(m for m in path if m.position == wished.position)
            memory.read(
                Summary(chat_id="chat", position=upto.position, text=f"- note {number}",
                        created_at_ms=number, upto_id=upto.message_id),
            )  # fmt: skip
            wished, folded = None, True
        context = memory.context(small, path, said, (), Sampling(max_tokens=0))
        assert len(context.tokens) <= small.room
        shown = turns_of(context.tokens)
        assert [part[0] for part in shown] == [
            SYSTEM, *(USER, ASSISTANT) * ((len(shown) - 3) // 2), USER, ASSISTANT
        ]  # fmt: skip
        if before is not None and shown[: len(before) - 2] != before[:-2] and not folded:
            verbatim = sum(map(len, shown[1:-2]))
            assert verbatim <= small.tokens(small.shares.verbatim_low), "left in a large step"
        before, folded = shown, False
        path += [message(2 * number, said), message(2 * number + 1, answered)]
        wish = memory.fold_wish(small, path, f"run_{number}", "user", number)
        wished = wish or wished
    memory.close()


@given(st.lists(TURN, min_size=8, max_size=30))
@settings(max_examples=40, deadline=None)
def test_rebuilt_memory_makes_a_prompt_with_the_same_facts(
    turns: list[tuple[str, str, bool]],
) -> None:
    small = model(512)
    path = [message(n, text) for n, text in enumerate(t for turn in turns for t in turn[:2])]
    summary = Summary(
        chat_id="chat", position=7, text="- a fact", created_at_ms=1, upto_id=path[7].message_id
    )
    made = []
    for _ in range(2):
        record = SessionRecord(chat=CHAT, messages=tuple(path), summary=summary)
        memory = Memory(SessionConfig(), record, SqliteRetrieval())
        made.append(memory.context(small, path, "tea in Paris?", (), Sampling(max_tokens=0)))
        memory.close()
    assert made[0] == made[1]
    assert "- a fact" in CODEC.decode(made[0].tokens)
