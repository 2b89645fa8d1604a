"""How the notes of a small model are put together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.summarizer.noting import grounded, merged

NOTES = st.lists(st.text(min_size=1), max_size=6, unique=True)


@pytest.mark.parametrize(
    ("before", "new", "expected"),
    [
        ("The user's name is Ada.", "The user's name is Ida.", ["The user's name is Ida."]),
        ("The user lives in Riga.", "The user lives in Oslo.", ["The user lives in Oslo."]),
        (
            "The user's dog is called Rex.",
            "The user's cat is called Tom.",
            ["The user's dog is called Rex.", "The user's cat is called Tom."],
        ),
        (
            "The user is from Peru.",
            "The user is 34 years old.",
            ["The user is from Peru.", "The user is 34 years old."],
        ),
        (
            "The user likes tea.",
            "The user likes soup.",
            ["The user likes tea.", "The user likes soup."],
        ),
    ],
)
def test_merged_new_note_stands_in_place_of_what_was_noted_of_the_same(
    before: str, new: str, expected: list[str]
) -> None:
    assert merged([before], [new]) == tuple(expected)


def test_merged_note_that_comes_again_stands_once_and_last() -> None:
    assert merged(["a", "b"], ["a"]) == ("b", "a")


@given(before=NOTES, new=NOTES)
def test_merged_holds_every_new_note_once_and_nothing_that_was_in_neither(
    before: list[str], new: list[str]
) -> None:
    found = merged(before, new)
    assert found[len(found) - len(new) :] == tuple(new)
    assert len(set(found)) == len(found)
    assert set(found) <= {*before, *new}


def test_grounded_leaves_out_what_the_user_did_not_say() -> None:
    said = "By the way, my dog is called Rex and I moved to Oslo"
    told = ("The user's dog is called Rex.", "The user lives in Oslo.")
    made_up = ("The user's dog is called Max.", "The user's cat is called Rex.")
    assert grounded((*told, *made_up), said) == told
