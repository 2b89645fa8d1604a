"""The table of `parley bench free-load`."""

from ops.bench.schedule.free_load import Level, free_load_table


def level(free: float, p99_s: float, asked: int, refused: int) -> Level:
    return Level(
        free=free,
        paid_asked=40,
        paid_refused=0,
        paid_p50_s=0.02,
        paid_p99_s=p99_s,
        free_asked=asked,
        free_refused=refused,
        free_p50_s=1.5 if asked > refused else float("nan"),
        free_runs_s=(asked - refused) / 10,
    )


def test_free_load_table_shows_ratios_to_the_first_level_and_what_was_refused() -> None:
    table = free_load_table([level(0, 0.1, 0, 0), level(2, 0.11, 100, 25), level(5, 0.1, 9, 9)])
    _, _, calm, busy, shed = table.splitlines()
    assert calm == "| 0 × | 40 | 20 | 100 | 1.00 | 1.00 | 0 | 0 | – | – | 0.0 |"
    assert busy == "| 2 × | 40 | 20 | 110 | 1.00 | 1.10 | 0 | 100 | 1.5 | 25 | 7.5 |"
    assert shed == "| 5 × | 40 | 20 | 100 | 1.00 | 1.00 | 0 | 9 | – | 100 | 0.0 |"
