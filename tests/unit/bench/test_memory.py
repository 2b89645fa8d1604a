"""The scripted chat, and how its outcome is counted."""

from ops.bench.memory.outcome import Spoken, Told, table
from ops.bench.memory.script import script


def test_script_tells_every_fact_that_it_asks_for_and_is_the_same_for_a_seed() -> None:
    lines = script(3)
    assert lines == script(3)
    assert lines != script(4)
    assert len(lines) == 60
    told = " ".join(line.text for line in lines[:20])
    asked = [line for line in lines if line.expected]
    assert asked == list(lines[40:])
    assert len({line.text for line in asked}) == 20
    assert all(line.expected in told for line in asked)
    assert not any(line.expected in other.text for line in asked for other in lines[20:40])


def spoken(expected: str, answer: str, cached: int) -> Spoken:
    return Spoken("x", expected, answer, prompt_tokens=100, cached_tokens=cached, ttft_ms=12.4)


def test_outcome_counts_answers_and_cached_tokens() -> None:
    turns = (spoken("", "Got it.", 0), spoken("Rex", "It is REX.", 90), spoken("Tom", "No.", 30))
    chat = Told("both", turns, kills=1)
    assert (chat.known, chat.asked, chat.held) == (1, 2, 0)
    assert chat.cached_share == 0.4
    assert chat.cached_between_folds == 0.9


def test_table_has_a_row_for_each_chat() -> None:
    chat = Told("both", tuple(spoken("", "ok", 80) for _ in range(60)))
    row = table([chat]).splitlines()[-1]
    assert row == "| both | 0 | 0 of 0 | 0 | 100 / 100 / 100 | 100 | 0.80, 0.80 | 12 / 12 / 12 |"
