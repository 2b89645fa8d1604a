"""The title of a chat from its first prompt."""

import pytest

from actors.session.titles import TITLE_MAX, title_of


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("What is a run?", "What is a run?"),
        ("\n\n  ## A  heading\nand more", "A heading"),
        ("- first\n- second", "first"),
        ("***\nWords", "Words"),
        (" \n\t", ""),
        ("-" * 200, ""),
    ],
)
def test_title_is_the_first_line_that_has_words(prompt: str, title: str) -> None:
    assert title_of(prompt) == title


def test_title_of_a_long_prompt_is_cut_at_a_word() -> None:
    title = title_of("several words " * 20)
    assert title.endswith(("several…", "words…"))
    assert len(title) <= TITLE_MAX + 1


def test_title_of_one_long_word_is_cut_in_it() -> None:
    assert title_of("x" * 500) == "x" * TITLE_MAX + "…"
