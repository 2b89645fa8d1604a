"""The table of `parley bench affinity`."""

from ops.bench.affinity import Tally, affinity_table


def tally(cached: int, first_ms: float, *, on: bool) -> Tally:
    return Tally(
        affinity=on,
        prompt=1_000,
        cached=cached,
        turns=10,
        first_token_ms=[first_ms, first_ms, 4 * first_ms],
    )


def test_affinity_table_shows_medians_of_rounds_and_their_ratio() -> None:
    tallies = [tally(900, 10.0, on=True), tally(600, 20.0, on=False)]
    tallies += [tally(700, 10.0, on=True), tally(600, 20.0, on=False)]
    _, _, on, off, ratio = affinity_table(tallies).splitlines()
    assert on == "| on | 2 | 80.0% | 20 | 10.0 | 40.0 |"
    assert off == "| off | 2 | 60.0% | 40 | 20.0 | 80.0 |"
    assert ratio == "| on ÷ off | | 1.33 | 0.50 | 0.50 | 0.50 |"


def test_share_of_a_round_without_turns_is_nothing() -> None:
    assert Tally(affinity=True).share == 0.0
