"""What a scripted chat came to. Pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

SHOWN_TURNS = (5, 30, 60)


@dataclass(frozen=True, slots=True)
class Spoken:
    """One turn: what was typed and answered, the tokens of its prompt, those of them from the
    engine's prefix cache, the time to the first text in milliseconds, and whether the prompt
    `held` what was asked for."""

    text: str
    expected: str
    answer: str
    prompt_tokens: int
    cached_tokens: int
    ttft_ms: float
    held: bool = False

    @property
    def right(self) -> bool:
        """Whether the answer holds what was asked for."""
        return self.expected.casefold() in self.answer.casefold()


@dataclass(frozen=True, slots=True)
class Told:
    """A whole chat in one kind of memory; `kills` processes were killed meanwhile."""

    memory: str
    turns: tuple[Spoken, ...]
    kills: int = 0

    @property
    def asked(self) -> int:
        """How many facts were asked for."""
        return sum(bool(turn.expected) for turn in self.turns)

    @property
    def known(self) -> int:
        """How many of them were answered."""
        return sum(turn.right for turn in self.turns if turn.expected)

    @property
    def held(self) -> int:
        """How many of them stood in the prompt that asked: what memory did, whoever answers."""
        return sum(turn.held for turn in self.turns if turn.expected)

    @property
    def cached_share(self) -> float:
        """The share of all prompt tokens that came from the prefix cache."""
        asked = sum(turn.prompt_tokens for turn in self.turns)
        return sum(turn.cached_tokens for turn in self.turns) / asked if asked else 0.0

    @property
    def cached_between_folds(self) -> float:
        """The same share over the turns from the second on that go on from the one before. A turn
        of whose predecessor's prompt less than half was still in the cache has begun anew: turns
        were folded or left out."""
        pairs = itertools.pairwise(self.turns)
        going_on = [t for before, t in pairs if 2 * t.cached_tokens >= before.prompt_tokens]
        asked = sum(turn.prompt_tokens for turn in going_on)
        return sum(turn.cached_tokens for turn in going_on) / asked if asked else 0.0


def table(chats: Sequence[Told]) -> str:
    """Return a Markdown table, a row for each chat."""
    turns = " / ".join(map(str, SHOWN_TURNS))
    lines = [
        f"| memory | killed | facts known | in the prompt | prompt tokens at turn {turns} "
        f"| longest | from cache (all, between folds) | first text at turn {turns}, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_row, chats)])


def _row(chat: Told) -> str:
    shown = [chat.turns[n - 1] for n in SHOWN_TURNS if n <= len(chat.turns)]
    tokens = " / ".join(str(turn.prompt_tokens) for turn in shown)
    times = " / ".join(f"{turn.ttft_ms:.0f}" for turn in shown)
    longest = max((turn.prompt_tokens for turn in chat.turns), default=0)
    cached = f"{chat.cached_share:.2f}, {chat.cached_between_folds:.2f}"
    return (
        f"| {chat.memory} | {chat.kills} | {chat.known} of {chat.asked} | {chat.held} "
        f"| {tokens} | {longest} | {cached} | {times} |"
    )
