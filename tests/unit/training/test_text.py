"""The generators of training text, and what they must leave to the evaluation."""

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.training import condense, conversations, facts, grammar, heldout, lexicon, parley, tasks
from ops.training.__main__ import EVALUATION_EACH, EVALUATION_SEED
from ops.training.conversations import normal, stream

SEEDS = st.integers(min_value=0, max_value=2**32)


def test_stream_same_seed_draws_the_same_text() -> None:
    assert list(islice(stream(5), 50)) == list(islice(stream(5), 50))


def test_stream_another_seed_draws_other_text() -> None:
    assert list(islice(stream(5), 50)) != list(islice(stream(6), 50))


def test_stream_conversation_is_whole() -> None:
    for made in islice(stream(11), 300):
        assert made.turns
        for turn in made.turns:
            assert turn.user
            assert turn.assistant


def test_stream_excluded_messages_are_never_drawn() -> None:
    plain = [normal(turn.user) for made in islice(stream(3), 200) for turn in made.turns]
    excluded = frozenset(plain[:40])
    drawn = {normal(turn.user) for made in islice(stream(3, excluded), 200) for turn in made.turns}
    assert not drawn & excluded


def test_training_text_holds_no_message_of_the_evaluation() -> None:
    excluded = heldout.messages(EVALUATION_SEED, EVALUATION_EACH)
    drawn = {
        normal(turn.user)
        for made in islice(stream(EVALUATION_SEED, excluded), 2000)
        for turn in made.turns
    }
    assert len(excluded) > 500
    assert not drawn & excluded


@given(seed=SEEDS)
def test_arithmetic_answer_is_true(seed: int) -> None:
    rng = random.Random(seed)
    turn = tasks.arithmetic(rng)
    asked, *steps = turn.assistant.rstrip(".").split(" = ")
    assert {_value(side) for side in (asked, *steps)} == {int(steps[-1])}


def _value(side: str) -> int:
    if side.isdecimal():
        return int(side)
    a, kind, b = side.split()
    return {
        "+": int(a) + int(b),
        "-": int(a) - int(b),
        "*": int(a) * int(b),
        "/": int(a) // max(1, int(b)),
    }[kind]


@given(seed=SEEDS)
def test_fact_answer_note_and_reply_hold_the_value_as_typed(seed: int) -> None:
    rng = random.Random(seed)
    fact = facts.draw(rng)
    said = (fact.user_tells(rng), fact.answered(rng), fact.acknowledged(rng))
    assert all(fact.value in text for text in (*said, fact.noted()))
    assert fact.value not in fact.user_asks(rng).split()


@given(seed=SEEDS)
def test_fact_changed_contradicts_and_differs(seed: int) -> None:
    rng = random.Random(seed)
    fact = facts.draw(rng)
    other = fact.changed(rng)
    assert other.key == fact.key
    assert other.value != fact.value


@given(seed=SEEDS)
def test_facts_alike_are_as_many_as_asked_and_contradict_none(seed: int) -> None:
    drawn = facts.draw_alike(random.Random(seed), 12)
    assert len({fact.key for fact in drawn}) == 12


@given(seed=SEEDS)
def test_crowded_chat_answers_with_what_stands_before(seed: int) -> None:
    made = conversations.crowded(random.Random(seed))
    *earlier, last = made.turns
    said = [made.system or "", *(text for t in earlier for text in (t.user, t.assistant))]
    assert made.turns
    for word in last.assistant.rstrip(".").split():
        if word.isdecimal():
            assert word in " ".join((*said, last.user))


@given(seed=SEEDS)
def test_noting_shows_one_exchange_as_the_summarizer_does(seed: int) -> None:
    (turn,) = condense.noting(random.Random(seed)).turns
    assert turn.user.startswith("New turns:\nUser: ")
    assert turn.user.endswith("\n\nWrite the new summary.")
    assert all(line.startswith("- ") for line in turn.assistant.splitlines())


@given(seed=SEEDS)
def test_invented_word_of_training_begins_as_no_held_out_one(seed: int) -> None:
    rng = random.Random(seed)
    onsets = ("bl", "gl", "pl", "sn", "sw", "th", "fr", "gw", "zh")
    assert not lexicon.invented(rng).startswith(onsets)
    assert lexicon.invented(rng, held_out=True).startswith(onsets)


def test_parley_topics_have_distinct_answers_and_titles() -> None:
    assert len({topic.answer for topic in parley.TOPICS}) == len(parley.TOPICS)
    assert len({topic.title for topic in parley.TOPICS}) == len(parley.TOPICS)
    assert all(len(topic.title.split()) <= 6 for topic in parley.TOPICS)


def test_evaluation_expects_only_answers_that_exist() -> None:
    answers = [topic.answer.lower() for topic in parley.TOPICS]
    asked = [case for case in heldout.cases(EVALUATION_SEED, 1) if "Parley" in case.category]
    assert len(asked) >= 70
    for case in asked:
        assert any(case.right(answer) for answer in answers), case.script


@pytest.mark.parametrize(
    ("words", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_listed_joins_words(words: list[str], text: str) -> None:
    assert grammar.listed(words) == text
