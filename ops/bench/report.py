"""Pairs of measurements, and what they say. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of the benchmark client. `tokens_s` output tokens a second; times in
    milliseconds: first token (p50, p99), between tokens (p50); `failed` requests."""

    tokens_s: float
    ttft_p50_ms: float
    ttft_p99_ms: float
    itl_p50_ms: float
    completed: int
    failed: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Parley and vLLM's own server, one after the other, at one concurrency."""

    concurrency: int
    parley: Measured
    vllm: Measured


def table(pairs: Sequence[Pair]) -> str:
    """Return a Markdown table: medians over the rounds of each concurrency, and the ratio of
    throughputs pair by pair (median, least, greatest)."""
    lines = [
        "| concurrency | rounds | tok/s Parley | tok/s vLLM | ratio (min–max) | first token p50 "
        "Parley / vLLM, ms | p99, ms | added p50 | added p99 | failed |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    levels = dict.fromkeys(pair.concurrency for pair in pairs)
    lines += [_row([pair for pair in pairs if pair.concurrency == level]) for level in levels]
    return "\n".join(lines)


def _row(pairs: Sequence[Pair]) -> str:
    ratios = sorted(pair.parley.tokens_s / pair.vllm.tokens_s for pair in pairs)
    ours = statistics.median(pair.parley.tokens_s for pair in pairs)
    theirs = statistics.median(pair.vllm.tokens_s for pair in pairs)
    p50 = [statistics.median(m) for m in zip(*_times(pairs, "ttft_p50_ms"), strict=True)]
    p99 = [statistics.median(m) for m in zip(*_times(pairs, "ttft_p99_ms"), strict=True)]
    failed = sum(pair.parley.failed + pair.vllm.failed for pair in pairs)
    return (
        f"| {pairs[0].concurrency} | {len(pairs)} | {ours:.0f} | {theirs:.0f} "
        f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}) "
        f"| {p50[0]:.1f} / {p50[1]:.1f} | {p99[0]:.1f} / {p99[1]:.1f} "
        f"| {_added(pairs, 'ttft_p50_ms'):+.1f} | {_added(pairs, 'ttft_p99_ms'):+.1f} "
        f"| {failed} |"
    )


def _times(pairs: Sequence[Pair], field: str) -> list[tuple[float, float]]:
    return [(getattr(pair.parley, field), getattr(pair.vllm, field)) for pair in pairs]


def _added(pairs: Sequence[Pair], field: str) -> float:
    """Return the median over the pairs of what Parley adds, in milliseconds."""
    return statistics.median(ours - theirs for ours, theirs in _times(pairs, field))
