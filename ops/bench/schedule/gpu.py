"""A simulated GPU: continuous batching, chunked prefill, a KV pool with a prefix cache.

A step decodes one token of every running sequence and computes prompt tokens up to a chunk;
it lasts `step_us + sequence_us × decoding + context_ns × their contexts + computed / prefill
rate`, times a seeded jitter.
The pool is counted in tokens: blocks that sequences share are counted once, blocks that none
uses stay until their room is needed (least recently used first). A pool that overflows takes
the youngest sequence's room; it is computed again later, as vLLM does.
"""

import random
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

from ops.bench.schedule.prompts import Prompt


@dataclass(frozen=True, slots=True)
class GpuModel:
    """What a GPU can do. The defaults are those of scheduling.md for table A. `jitter` is the
    half-width of a uniform factor on each step; `block_tokens` 0 means no prefix cache.
    `tells_memory` False: its reports leave out the size of its pool. `context_ns` is what a
    decoded token takes for each token before it; 0, as in the papers' models, leaves that out."""

    kv_tokens: int = 10_000
    step_us: int = 18_000
    sequence_us: int = 1_050
    prefill_tokens_s: int = 4_500
    chunk_tokens: int = 2_048
    slots: int = 256
    block_tokens: int = 0
    jitter: float = 0.04
    tells_memory: bool = True
    context_ns: int = 0


@dataclass(slots=True, eq=False)
class Running:
    """A sequence on the GPU: `todo` prompt tokens still to compute, `room` tokens of the pool
    that it has to itself, `held` the shared blocks that it uses."""

    name: str
    attempt: int
    prompt: Prompt
    produced: int = 0
    cached: int = 0
    todo: int = 0
    room: int = 0
    held: list[str] = field(default_factory=list)

    @property
    def context(self) -> int:
        """The tokens that must be in the pool for it to go on."""
        return self.prompt.prompt_tokens + self.produced


@dataclass(slots=True)
class StepDone:
    """What a step brought: sequences with their first token, sequences that are complete,
    blocks that are now cached, and those that no longer are."""

    began: list[Running] = field(default_factory=list)
    ended: list[Running] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


class Gpu:
    """One engine. `plan` starts a step, `complete` ends it."""

    def __init__(self, model: GpuModel, seed: int) -> None:
        self.model = model
        self.waiting: deque[Running] = deque()
        self.prefilling: list[Running] = []
        self.decoding: list[Running] = []
        self.output_tokens = 0
        self.computed_tokens = 0
        self._chance = random.Random(seed)
        self._used: Counter[str] = Counter()
        self._idle: OrderedDict[str, None] = OrderedDict()
        self._room = 0
        self._chunks: list[tuple[Running, int]] = []
        self._stored: list[str] = []
        self._removed: list[str] = []

    @property
    def used_tokens(self) -> int:
        """Tokens of the pool that sequences use."""
        return self._room + len(self._used) * self.model.block_tokens

    @property
    def pending_tokens(self) -> int:
        """Prompt tokens of all sequences on the GPU that are still to be computed."""
        return sum(run.todo for run in self.prefilling) + sum(
            run.context - self._hits(run) * self.model.block_tokens for run in self.waiting
        )

    def all(self) -> list[Running]:
        """Return every sequence, running or waiting."""
        return [*self.decoding, *self.prefilling, *self.waiting]

    def replaced(self) -> "Gpu":
        """Return a GPU like this one, empty, that goes on with its chances."""
        fresh = Gpu(self.model, 0)
        fresh._chance = self._chance
        return fresh

    def cached_keys(self) -> list[str]:
        """Return the blocks that are cached."""
        return [*self._used, *self._idle]

    def submit(self, name: str, attempt: int, prompt: Prompt, produced: int = 0) -> None:
        """Take a sequence; `produced` tokens of its answer exist already."""
        self.waiting.append(Running(name, attempt, prompt, produced=produced))

    def drop(self, name: str) -> Running | None:
        """Free a sequence now. Returns it, None if it is not here."""
        for run in self.all():
            if run.name == name:
                for queue in (self.waiting, self.prefilling, self.decoding):
                    if run in queue:
                        queue.remove(run)
                self._release(run)
                return run
        return None

    def plan(self) -> int | None:
        """Start a step. Returns how long it takes in microseconds, None if nothing is there."""
        self._admit()
        if not self.decoding and not self.prefilling:
            return None
        budget, chunks = self.model.chunk_tokens, []
        for run in self.prefilling:
            share = min(run.todo, budget)
            chunks.append((run, share))
            budget -= share
            if budget <= 0:
                break
        self._chunks = chunks
        computed = sum(share for _, share in chunks)
        self.computed_tokens += computed
        lasts_us = self.model.step_us + self.model.sequence_us * len(self.decoding)
        if self.model.context_ns:
            lasts_us += sum(run.context for run in self.decoding) * self.model.context_ns // 1_000
        lasts_us += computed * 1_000_000 // self.model.prefill_tokens_s
        jitter = self.model.jitter
        return max(1, round(lasts_us * self._chance.uniform(1 - jitter, 1 + jitter)))

    def complete(self) -> StepDone:
        """End the step: tokens are there."""
        done = StepDone(stored=self._stored, removed=self._removed)
        self._stored, self._removed = [], []
        for run in list(self.decoding):
            run.room += 1
            self._room += 1
            self._produce(run, done)
        for run, share in self._chunks:
            if run in self.prefilling:
                run.todo -= share
                if run.todo == 0:
                    self.prefilling.remove(run)
                    self.decoding.append(run)
                    self._share(run, run.prompt.keys)
                    self._produce(run, done)
        self._chunks = []
        self._shrink()
        done.stored += self._stored
        done.removed += self._removed
        self._stored, self._removed = [], []
        return done

    def _produce(self, run: Running, done: StepDone) -> None:
        run.produced += 1
        self.output_tokens += 1
        if run.produced == 1:
            done.began.append(run)
        if run.produced >= run.prompt.output_tokens:
            self.decoding.remove(run)
            self._share(run, run.prompt.answer_keys)
            self._release(run)
            done.ended.append(run)

    def _admit(self) -> None:
        size = self.model.block_tokens
        while self.waiting and len(self.decoding) + len(self.prefilling) < self.model.slots:
            run = self.waiting[0]
            hits = self._hits(run)
            fresh = sum(1 for key in run.prompt.keys[:hits] if key not in self._used)
            need = run.context - hits * size + fresh * size
            busy = len(self.decoding) + len(self.prefilling)
            if busy and self.used_tokens + need + busy > self.model.kv_tokens:
                return
            self.waiting.popleft()
            for key in run.prompt.keys[:hits]:
                self._used[key] += 1
                self._idle.pop(key, None)
            run.held = list(run.prompt.keys[:hits])
            if run.produced == 0:
                run.cached = hits * size
            run.todo = run.room = run.context - hits * size
            self._room += run.room
            self.prefilling.append(run)
            self._evict()

    def _hits(self, run: Running) -> int:
        """Return how many leading blocks are cached; the last token is always computed."""
        most = (run.context - 1) // self.model.block_tokens if self.model.block_tokens else 0
        for count, key in enumerate(run.prompt.keys[:most]):
            if key not in self._used and key not in self._idle:
                return count
        return min(most, len(run.prompt.keys))

    def _share(self, run: Running, keys: tuple[str, ...]) -> None:
        """Blocks that the sequence has filled become shared ones."""
        size = self.model.block_tokens
        if not size:
            return
        already = len(run.held) if keys is run.prompt.keys else 0
        for key in keys[already:]:
            if run.room < size:
                return
            run.room -= size
            self._room -= size
            if key in self._idle:
                del self._idle[key]
            elif key not in self._used:
                self._stored.append(key)
            self._used[key] += 1
            run.held.append(key)

    def _release(self, run: Running) -> None:
        self._room -= run.room
        run.room = 0
        for key in reversed(run.held):
            self._used[key] -= 1
            if self._used[key] == 0:
                del self._used[key]
                self._idle[key] = None
        run.held = []

    def _evict(self) -> None:
        size = self.model.block_tokens
        while self._idle and self.used_tokens + len(self._idle) * size > self.model.kv_tokens:
            self._removed.append(self._idle.popitem(last=False)[0])

    def _shrink(self) -> None:
        """Make the pool fit: forget idle blocks, then take the youngest sequence's room."""
        self._evict()
        while self.used_tokens > self.model.kv_tokens and len(self.decoding) > 1:
            run = self.decoding.pop()
            self._release(run)
            self.waiting.appendleft(run)
            self._evict()
