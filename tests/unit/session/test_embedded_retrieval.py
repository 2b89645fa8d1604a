"""Older turns found by words and by meaning; vectors come late, change, or find no room."""

import math
import struct
from collections.abc import Sequence

import pytest

from actors.session.embedded_retrieval import EmbeddedRetrieval, VectorRoom
from actors.session.retrieval import Meaning, Passage
from actors.session.sqlite_retrieval import SqliteRetrieval

DIMENSIONS = 8


def index(bytes_max: int = 1 << 20) -> EmbeddedRetrieval:
    return EmbeddedRetrieval(SqliteRetrieval(), VectorRoom(bytes_max))


def passage(number: int, text: str = "") -> Passage:
    return Passage(2 * number, number + 1, text or f"about subject{number}", f"answer {number}")


def meaning(*values: float, model: str = "m") -> Meaning:
    padded = [*values, *[0.0] * (DIMENSIONS - len(values))]
    length = math.sqrt(sum(value * value for value in padded))
    return Meaning(model, struct.pack(f"<{DIMENSIONS}f", *(value / length for value in padded)))


def along(number: int, model: str = "m") -> Meaning:
    """The meaning of subject `number`, with something that all texts have in common."""
    values = [0.0] * DIMENSIONS
    values[number % DIMENSIONS] = 1.0
    return meaning(*(value + 0.2 for value in values), model=model)


def learned(made: EmbeddedRetrieval, model: str = "m") -> list[int]:
    """Teach it all that it lacks; return the positions in the order asked for."""
    asked: list[int] = []
    while batch := made.unlearned(3):
        made.learn([(each, along(each.position // 2, model)) for each in batch])
        asked += [each.position for each in batch]
    return asked


def positions(found: Sequence[Passage]) -> list[int]:
    return [each.position for each in found]


def test_passage_that_is_near_in_meaning_is_found_without_a_common_word() -> None:
    made = index()
    made.add([passage(number) for number in range(8)])
    assert positions(made.search(("elsewhere",), 8, along(5))) == []
    assert learned(made) == [2 * number for number in range(8)]
    assert positions(made.search(("elsewhere",), 8, along(5))) == [10]
    assert positions(made.search(("elsewhere",), 8)) == []


def test_passage_found_by_word_and_meaning_comes_before_one_found_by_either() -> None:
    made = index()
    made.add([passage(number) for number in range(8)])
    learned(made)
    found = made.search(("subject2", "subject5"), 8, along(5))
    assert positions(found) == [10, 4]
    assert found[0].score > found[1].score
    assert positions(made.search(("subject2",), 8, along(5))) == [4, 10]


def test_index_asks_for_a_meaning_only_once_enough_passages_have_theirs() -> None:
    made = index()
    made.add([passage(number) for number in range(4)])
    learned(made)
    assert not made.embeds
    assert positions(made.search(("subject1",), 8, along(3))) == [2]
    made.add([passage(4)])
    learned(made)
    assert made.embeds


def test_message_that_is_like_all_or_none_of_the_turns_finds_none_by_meaning() -> None:
    made = index()
    made.add([passage(number) for number in range(8)])
    learned(made)
    assert positions(made.search((), 8, meaning(*[1.0] * DIMENSIONS))) == []
    assert positions(made.search((), 8, meaning(*[-1.0] * DIMENSIONS))) == []


def test_unlearned_passages_are_asked_for_in_turn_so_that_no_batch_blocks_the_others() -> None:
    made = index()
    made.add([passage(number) for number in range(4)])
    assert positions(made.unlearned(3)) == [0, 2, 4]
    assert positions(made.unlearned(3)) == [6, 0, 2]


def test_meaning_of_a_passage_that_was_replaced_or_forgotten_is_dropped() -> None:
    made = index()
    made.add([passage(number) for number in range(6)])
    batch = made.unlearned(6)
    made.add([passage(3, "other words")])
    made.learn([(each, along(each.position // 2)) for each in batch])
    assert positions(made.search((), 8, along(3))) == []
    assert positions(made.unlearned(6)) == [6]
    made.clear()
    made.learn([(each, along(1)) for each in batch])
    assert not made.embeds
    assert positions(made.unlearned(6)) == []


def test_passage_that_replaces_a_learned_one_takes_only_that_ones_vector_away() -> None:
    made = index()
    made.add([passage(number) for number in range(8)])
    learned(made)
    made.add([passage(2, "other words")])
    assert positions(made.search((), 8, along(2))) == []
    assert positions(made.search((), 8, along(7))) == [14]
    assert positions(made.search((), 8, along(0))) == [0]
    assert learned(made) == [4]
    assert positions(made.search((), 8, along(2))) == [4]


@pytest.mark.parametrize("other", [along(1, "new"), Meaning("m", bytes(16))])
def test_vectors_of_another_model_are_not_compared_and_all_are_learned_anew(
    other: Meaning,
) -> None:
    made = index()
    made.add([passage(number) for number in range(6)])
    learned(made)
    assert positions(made.search(("subject1",), 8, other)) == [2]
    assert not made.embeds
    assert len(learned(made, other.model)) == 6
    assert positions(made.search((), 8, along(1, other.model))) == [2]


def test_model_that_changes_between_two_batches_leaves_only_its_own_vectors() -> None:
    made = index()
    made.add([passage(number) for number in range(6)])
    batch = made.unlearned(6)
    made.learn([(each, along(each.position // 2)) for each in batch[:5]])
    made.learn([(batch[5], along(5, "new"))])
    assert not made.embeds
    assert sorted(positions(made.unlearned(6))) == [0, 2, 4, 6, 8]


def test_vectors_that_find_no_room_leave_the_words_and_give_it_back_at_the_end() -> None:
    room = VectorRoom(16 * DIMENSIONS * 4)
    one, two = (EmbeddedRetrieval(SqliteRetrieval(), room) for _ in range(2))
    one.add([passage(number) for number in range(17)])
    two.add([passage(number) for number in range(8)])
    assert len(learned(one)) == 17
    assert one.embeds
    assert positions(one.unlearned(8)) == []
    learned(two)
    assert not two.embeds
    assert positions(two.search(("subject5",), 8, along(5))) == [10]
    one.close()
    two.clear()
    two.add([passage(number) for number in range(8)])
    learned(two)
    assert two.embeds


def test_long_turn_is_embedded_and_quoted_by_its_beginning() -> None:
    made = index()
    made.add([passage(0, "w" * 5_000), *(passage(number) for number in range(1, 8))])
    assert len(made.unlearned(1)[0].user) == 1_000
    learned(made)
    (found,) = made.search((), 8, along(0))
    assert found.user.endswith("w…")
