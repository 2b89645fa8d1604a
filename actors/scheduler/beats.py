"""How long a worker may be silent before it is taken for stalled, learned from its own beat. Pure.

Reports come at a steady pace; how unsteady it really is depends on the machine and its load. So
a worker is waited for some times as long as it has lately been silent at the most. Who errs
this way loses the runs' computation, not the worker (compare the accrual failure detector of
Hayashibara et al., 2004, whose estimate of the spread this replaces by the longest seen).
"""

_BEATS_LEARNED = 20
_SPAN_MS = 30_000
"""The longest silence is remembered for one to two of these."""

LEAST_MS = 300
"""Three reports: less than that is noise on any machine."""


class Beat:
    """The silences between the reports of one life of a worker.

    Args:
        most_ms: a longer silence is no part of the beat: it was a stall, or a loss.
        now_ms: when the worker was heard first.
    """

    def __init__(self, most_ms: int, now_ms: int) -> None:
        self._most_ms = most_ms
        self._beats = 0
        self._longest_ms = 0
        self._before_ms = 0
        self._until_ms = now_ms + _SPAN_MS

    def heard(self, silence_ms: int, now_ms: int) -> None:
        """A report came after `silence_ms`."""
        if now_ms >= self._until_ms:
            self._before_ms, self._longest_ms = self._longest_ms, 0
            self._until_ms = now_ms + _SPAN_MS
        self._beats += 1
        if silence_ms <= self._most_ms:
            self._longest_ms = max(self._longest_ms, silence_ms)

    @property
    def patience_ms(self) -> int:
        """How long a silence is to be borne where somebody else can go on: from `LEAST_MS` to
        `most_ms`."""
        if self._beats < _BEATS_LEARNED:
            return self._most_ms
        learned_ms = 5 * max(self._longest_ms, self._before_ms) // 2
        return min(self._most_ms, max(LEAST_MS, learned_ms))
