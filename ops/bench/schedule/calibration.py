"""What an engine behind a running stack takes, in the terms of the simulated GPU."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ops.bench.schedule.gpu import GpuModel
from ops.bench.schedule.live import Answered, Ask, Caller

_SHORT, _LONG = 32, 1_500
_OUTPUT = 96
_BATCHES = (1, 4, 8, 16)
_ANSWERS = 16
_PROBES = 7


@dataclass(frozen=True, slots=True)
class Calibration:
    """`overhead_us` is what the stack adds to a first token; the rest as in `GpuModel`."""

    overhead_us: int
    step_us: int
    sequence_us: int
    context_ns: int
    prefill_tokens_s: int

    def model(self, kv_tokens: int, slots: int, jitter: float = 0.1) -> GpuModel:
        """Return a GPU that takes what was measured."""
        return GpuModel(
            kv_tokens=kv_tokens,
            step_us=self.step_us,
            sequence_us=self.sequence_us,
            context_ns=self.context_ns,
            prefill_tokens_s=self.prefill_tokens_s,
            slots=slots,
            jitter=jitter,
        )


async def calibrate(caller: Caller, user: str) -> Calibration:
    """Measure an idle stack: times between tokens at several batch sizes (a line through
    them), first tokens of short and long prompts (their difference is prefill), and the times
    between tokens after them (their difference is what a context takes)."""
    await caller.play([Ask(user, 0.0, _SHORT, 8)])
    gaps = []
    for batch in _BATCHES:
        answers: list[Answered] = []
        while len(answers) < _ANSWERS:
            answers += await caller.play([Ask(user, 0.0, _SHORT, _OUTPUT)] * batch)
        gaps.append((float(batch), statistics.median(a.tpot_s for a in answers)))
    slope_s, step_s = _line(gaps)
    short, long = await _alone(caller, user, _SHORT), await _alone(caller, user, _LONG)
    prefill_s = max(1e-6, (long.ttft_s - short.ttft_s) / (_LONG - _SHORT))
    context_s = max(0.0, (long.tpot_s - short.tpot_s) / (_LONG - _SHORT))
    overhead_s = max(0.0, short.ttft_s - step_s - _SHORT * prefill_s)
    return Calibration(
        overhead_us=round(overhead_s * 1e6),
        step_us=max(1, round(step_s * 1e6)),
        sequence_us=max(0, round(slope_s * 1e6)),
        context_ns=round(context_s * 1e9),
        prefill_tokens_s=round(1 / prefill_s),
    )


@dataclass(frozen=True, slots=True)
class _Alone:
    """A prompt's median times when it has the stack to itself."""

    ttft_s: float
    tpot_s: float


async def _alone(caller: Caller, user: str, length: int) -> _Alone:
    answers: list[Answered] = []
    for _ in range(_PROBES):
        answers += await caller.play([Ask(user, 0.0, length, _OUTPUT)])
    return _Alone(
        statistics.median(answer.ttft_s for answer in answers),
        statistics.median(answer.tpot_s for answer in answers),
    )


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return slope and intercept of the least-squares line, neither below zero."""
    fit = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    return max(0.0, fit.slope), max(0.0, fit.intercept)
