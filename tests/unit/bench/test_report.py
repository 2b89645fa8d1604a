"""The benchmark's table."""

from ops.bench.report import Measured, Pair, table
from ops.bench.servers import engine_flags


def measured(tokens_s: float, ttft_ms: float, failed: int = 0) -> Measured:
    return Measured(
        tokens_s=tokens_s,
        ttft_p50_ms=ttft_ms,
        ttft_p99_ms=ttft_ms * 2,
        itl_p50_ms=1.0,
        completed=10,
        failed=failed,
    )


def test_table_ratio_is_the_median_of_pairs_not_of_medians() -> None:
    pairs = [
        Pair(32, measured(100, 10), measured(50, 9)),
        Pair(32, measured(300, 12), measured(300, 9)),
        Pair(32, measured(900, 14), measured(1000, 9)),
    ]
    row = table(pairs).splitlines()[2]
    assert "| 32 | 3 | 300 | 300 | 1.00 (0.90–2.00) |" in row
    assert "| +3.0 | +6.0 |" in row


def test_table_counts_failed_requests_of_both_sides() -> None:
    pairs = [Pair(1, measured(1, 1, failed=2), measured(1, 1, failed=1))]
    assert table(pairs).splitlines()[2].endswith("| 3 |")


def test_table_keeps_concurrencies_apart() -> None:
    pairs = [Pair(level, measured(level, 1), measured(1, 1)) for level in (1, 8)]
    assert len(table(pairs).splitlines()) == 4


def test_engine_flags_true_is_a_bare_flag() -> None:
    flags = engine_flags({"enforce_eager": "true", "block_size": "32"})
    assert flags == ["--enforce-eager", "--block-size", "32"]
