"""What simulated users ask, and what became of it. Times in microseconds of virtual time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from contracts.block_keys import KEY_LENGTH
from contracts.runs import Tier

Ending = Literal["served", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt. `output_tokens` is how long its answer will be, which no scheduler is told;
    `max_tokens` ≥ `output_tokens` is what the run declares. `keys` name the full blocks of
    the prompt, `answer_keys` those that prompt and answer fill beyond them."""

    name: str
    user: str
    at_us: int
    prompt_tokens: int
    output_tokens: int
    max_tokens: int
    tier: Tier = "free"
    chat: str = ""
    keys: tuple[str, ...] = ()
    answer_keys: tuple[str, ...] = ()


@dataclass(slots=True)
class Record:
    """A prompt from its arrival to its end. `first_us` and `end_us` None: not yet. `attempt`
    is the last one under which it was given to a worker; `told_ms` the wait that it was told
    first, `promised_ms` after how long it was told to come back; `tries` counts how often it
    came."""

    prompt: Prompt
    dispatched_us: int | None = None
    first_us: int | None = None
    end_us: int | None = None
    ending: Ending | None = None
    cached_tokens: int = 0
    output_tokens: int = 0
    worker: str = ""
    dispatches: int = 0
    attempt: int = 0
    told_ms: int | None = None
    promised_ms: int | None = None
    tries: int = 1

    @property
    def ttft_s(self) -> float | None:
        """Seconds from arrival to first token, None without one."""
        return None if self.first_us is None else (self.first_us - self.prompt.at_us) / 1e6

    @property
    def tpot_s(self) -> float | None:
        """Mean seconds between tokens after the first, None with fewer than two."""
        if self.end_us is None or self.first_us is None or self.output_tokens < 2:
            return None
        return (self.end_us - self.first_us) / 1e6 / (self.output_tokens - 1)


def block_name(text: int, block: int) -> str:
    """Return the key of a block of a text that nobody else has: as long as real keys are."""
    return f"{text << 20 | block:0{KEY_LENGTH}x}"


class Workload(Protocol):
    """What is asked: a pure function of its seed and of when answers end."""

    def opening(self) -> Iterator[Prompt]:
        """Yield the prompts that come whatever happens, in the order of their times."""

    def following(self, record: Record) -> Prompt | None:
        """Return what the user asks after this one's end, None for nothing more."""


class OpenWorkload:
    """A workload whose prompts all come at their own times."""

    def __init__(self, prompts: list[Prompt]) -> None:
        self._prompts = sorted(prompts, key=lambda prompt: prompt.at_us)

    def opening(self) -> Iterator[Prompt]:
        """Yield all prompts."""
        return iter(self._prompts)

    def following(self, record: Record) -> Prompt | None:  # noqa: ARG002
        """Nothing follows."""
        return None
