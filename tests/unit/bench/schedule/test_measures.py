import math

import pytest

from ops.bench.schedule.intervals import estimate, shown
from ops.bench.schedule.measures import (
    accumulated_gap,
    backlogged_gap,
    hit_rate,
    jain,
    percentile,
    service,
    throughput,
    windowed_differences,
    work_cost,
)
from ops.bench.schedule.prompts import Prompt, Record


def _record(
    user: str,
    at_s: float,
    first_s: float,
    end_s: float,
    *,
    prompt_tokens: int = 100,
    output_tokens: int = 50,
    cached_tokens: int = 0,
) -> Record:
    prompt = Prompt(
        name=f"{user}@{at_s}",
        user=user,
        at_us=round(at_s * 1e6),
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        max_tokens=output_tokens,
    )
    return Record(
        prompt,
        dispatched_us=round(first_s * 1e6),
        first_us=round(first_s * 1e6),
        end_us=round(end_s * 1e6),
        ending="served",
        cached_tokens=cached_tokens,
        output_tokens=output_tokens,
    )


def test_service_is_spread_from_first_token_to_end() -> None:
    records = [_record("a", 0, 10, 20), _record("b", 0, 50, 60)]
    assert service(records, 0, 15) == {"a": 100.0, "b": 0.0}
    assert service(records, 15, 60) == {"a": 100.0, "b": 200.0}


def test_gap_is_the_largest_difference_at_the_ticks() -> None:
    records = [_record("a", 0, 40, 50), _record("b", 0, 90, 100)]
    assert accumulated_gap(records, 130, ticks=9, warm_up_s=30) == pytest.approx(200.0)


def test_windowed_difference_counts_no_user_that_got_all_it_asked_for() -> None:
    records = [_record("a", at, at, at + 1) for at in range(0, 600, 5)]
    records += [_record("b", 0, 200, 201)]
    assert max(windowed_differences(records, 600)) < 8


def test_backlogged_gap_ignores_times_in_which_one_had_nothing_waiting() -> None:
    apart = [_record("a", 0, 10, 20), _record("b", 30, 40, 50)]
    assert backlogged_gap(apart, ["a", "b"], range(60)) == 0.0
    together = [_record("a", 0, 10, 20), _record("a", 0, 50, 51), _record("b", 0, 50, 51)]
    assert backlogged_gap(together, ["a", "b"], range(60)) == pytest.approx(200.0)


def test_work_cost_counts_cached_tokens_a_tenth() -> None:
    assert work_cost(_record("a", 0, 1, 2, cached_tokens=60)) == pytest.approx(40 + 6 + 100)


def test_hit_rate_and_throughput_of_known_records() -> None:
    records = [_record("a", 0, 1, 10, cached_tokens=50), _record("b", 0, 1, 20)]
    assert hit_rate(records) == pytest.approx(0.25)
    assert throughput(records) == pytest.approx(300 / 20)


def test_jain_is_one_for_equals_and_a_share_for_one_who_has_all() -> None:
    assert jain([3, 3, 3]) == pytest.approx(1.0)
    assert jain([1, 0, 0, 0]) == pytest.approx(0.25)


def test_percentile_takes_the_nearest_rank() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert math.isnan(percentile([], 0.5))


def test_estimate_of_ten_samples_has_student_s_interval() -> None:
    found = estimate([float(value) for value in range(10)])
    assert found.mean == pytest.approx(4.5)
    assert found.half == pytest.approx(2.262 * 3.02765 / math.sqrt(10), rel=1e-4)
    assert shown(found, 1) == "4.5 ± 2.2"


def test_estimate_of_one_sample_claims_no_interval() -> None:
    assert shown(estimate([7.0]), 0) == "7"
