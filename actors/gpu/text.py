"""The text of an answer, token by token: whole characters, stop strings, held-back text.

Pure. What has been shown after n tokens depends on those n tokens alone, not on how they
were split into steps, so a successor that pushes the committed tokens again stands exactly
where its predecessor stood.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.ports.text import TextCodec
from contracts.runs import Sampling


@dataclass(frozen=True, slots=True)
class Step:
    """What some tokens did: the first `accepted` of them belong to the answer, `text` may be
    shown now, `stopped` says that an end token or a stop string ended the answer."""

    accepted: int
    text: str
    stopped: bool = False


class AnswerText:
    """The text of one answer.

    A stop string ends the answer with the token that completes it, unless that is one of the
    first `min_tokens`; text before the first character of the match is the answer's. Of
    several matches the one that is complete first counts, of those the one that begins first.
    Text that may be the beginning of a stop string is held back. The text of an end token is
    left out.
    """

    def __init__(self, codec: TextCodec, sampling: Sampling) -> None:
        self._decoder = codec.decoder()
        self._ends = frozenset() if sampling.ignore_eos else codec.eos_tokens
        self._stops = tuple(dict.fromkeys(stop for stop in sampling.stop if stop))
        self._longest = max(map(len, self._stops), default=0)
        self._min_tokens = sampling.min_tokens
        self._count = 0
        self._held = ""
        self._stopped = False

    def push(self, tokens: Sequence[int]) -> Step:
        """Add the tokens that follow; none is accepted after the answer stopped."""
        if self._stopped:
            return Step(0, "", stopped=True)
        if not self._stops and self._ends.isdisjoint(tokens):
            self._count += len(tokens)
            return Step(len(tokens), self._decoder.push(tokens))
        parts = []
        for accepted, token in enumerate(tokens, 1):
            self._count += 1
            if token in self._ends:
                self._stopped = True
                parts.append(self._release())
            else:
                parts.append(self._scan(self._decoder.push((token,))))
            if self._stopped:
                return Step(accepted, "".join(parts), stopped=True)
        return Step(len(tokens), "".join(parts))

    def finish(self, *, cut: bool = False) -> str:
        """Return the text still held back, when the answer ends without having stopped.
        `cut`: it was cut off by a cancel, so what may be half a character or the beginning of a
        stop string is left out: the answer stays a beginning of the whole one."""
        if self._stopped:
            return ""
        self._stopped = True
        return "" if cut else self._release()

    def _release(self) -> str:
        text = self._held + self._decoder.flush()
        self._held = ""
        return text

    def _scan(self, fresh: str) -> str:
        """Return what may be shown once `fresh` has been added."""
        if not self._stops:
            return fresh
        text = self._held + fresh
        if self._count > self._min_tokens:
            start = self._stop_in(text)
            if start is not None:
                self._stopped = True
                self._held = ""
                return text[:start]
        keep = self._undecided(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _stop_in(self, text: str) -> int | None:
        """Return where the stop string begins that is complete first, and in new text."""
        found: tuple[int, int] | None = None
        for stop in self._stops:
            start = text.find(stop, max(0, len(self._held) - len(stop) + 1))
            if start >= 0:
                match = (start + len(stop), start)
                found = match if found is None else min(found, match)
        return None if found is None else found[1]

    def _undecided(self, text: str) -> int:
        """Return the length of the longest ending that may become a stop string."""
        for size in range(min(self._longest - 1, len(text)), 0, -1):
            ending = text[-size:]
            if any(len(stop) > size and stop.startswith(ending) for stop in self._stops):
                return size
        return 0
