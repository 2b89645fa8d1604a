"""A simulated engine, for scale and chaos: seeded tokens at a chosen pace.

What it says is a pure function of the seed and of every token before, so a greedy answer that
is continued elsewhere from its tokens goes on exactly as it would have; like a real engine's,
a seeded draw also depends on the place within the request, so it must be replayed.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from actors.gpu.sim_cache import SimPrefixCache
from contracts.base import Wire
from contracts.errors import EngineDead, EngineRefused
from contracts.ports.clock import Clock
from contracts.ports.engine import BlockChange, EngineInfo, EngineLoad, EngineOutput
from contracts.runs import Sampling, Sight, TokenLogprob

_MASK = (1 << 64) - 1
_BIAS_MAX = 100.0


class SimConfig(Wire):
    """How a simulated engine behaves.

    `vocabulary` are the tokens that it may say, `eos_token` ends an answer with a chance of
    one in `eos_every` tokens (0: never). `prefill_tokens_s` and `step_ms` (between tokens,
    whatever the load) give the pace; `step_ms` 0 is as fast as it goes. `kv_tokens` is the
    room for prompts and outputs together. Faults, each 0 for never, counted in tokens over
    the engine's life: after `stall_after` it says nothing more, after `crash_after` it dies;
    every `duplicate_every`-th output comes twice. `openings` are pairs: how a prompt ends, and
    how every answer to it begins. Up to `pictures_max` pictures may
    stand in a prompt, each in the place of a `picture_mark` and of `picture_tokens` tokens; what
    is said depends on their bytes, and no prompt with one is cached.
    """

    vocabulary: tuple[int, ...]
    model: str = "sim"
    eos_token: int = -1
    eos_every: int = 0
    seed: int = 0
    start_ms: int = 0
    prefill_tokens_s: int = 20_000
    step_ms: int = 10
    context_length: int = 4096
    slots: int = 128
    block_size: int = 32
    kv_tokens: int = 262_144
    stall_after: int = 0
    crash_after: int = 0
    duplicate_every: int = 0
    openings: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()
    pictures_max: int = 0
    picture_tokens: int = 64
    picture_mark: int = -1


@dataclass(slots=True, eq=False)
class _Request:
    name: str
    prompt: tuple[int, ...]
    sampling: Sampling
    salt: int
    state: int
    length: int
    prefill: int
    limit: int
    seeing: bool = False
    opening: tuple[int, ...] = ()
    cached: int = 0
    produced: int = 0
    waiting: bool = True
    aborted: bool = False
    outputs: deque[EngineOutput] = field(default_factory=deque)
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def room(self) -> int:
        return self.length + self.produced


class SimEngine:
    """See `contracts.ports.engine.Engine`; `info.kind` says that it is simulated."""

    def __init__(self, config: SimConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._requests: dict[str, _Request] = {}
        self._cache = SimPrefixCache(
            config.block_size, config.kv_tokens // config.block_size, config.seed
        )
        self._on_blocks: Callable[[Sequence[BlockChange]], None] | None = None
        self._stepping: asyncio.Task[None] | None = None
        self._work = asyncio.Event()
        self._dead = asyncio.Event()
        self._reason = ""
        self._said = 0
        self._drawn = 0
        self._outputs = 0

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        config = self._config
        return EngineInfo(
            kind="sim",
            model=config.model,
            context_length=config.context_length,
            slots=config.slots,
            block_size=config.block_size,
            kv_tokens=config.kv_tokens,
            sight=Sight(pictures=config.pictures_max, tokens=config.picture_tokens)
            if config.pictures_max
            else None,
        )

    def on_blocks(self, handler: Callable[[Sequence[BlockChange]], None]) -> None:
        """Tell `handler` of the prefix cache, step by step."""
        self._on_blocks = handler

    @property
    def requests(self) -> tuple[str, ...]:
        """The ids of the requests that it has room for, or that wait for it."""
        return tuple(self._requests)

    async def start(self, progress: Callable[[str], None]) -> None:
        """Take as long as configured."""
        progress("Starting a simulated engine.")
        await self._clock.sleep(self._config.start_ms / 1000)
        self._stepping = asyncio.create_task(self._run(), name="sim-engine")

    async def generate(
        self,
        request_id: str,
        prompt: tuple[int, ...],
        sampling: Sampling,
        pictures: Sequence[bytes] = (),
    ) -> AsyncIterator[EngineOutput]:
        """Yield the tokens of one request."""
        request = self._admit(request_id, prompt, sampling, pictures)
        try:
            while True:
                while request.outputs:
                    output = request.outputs.popleft()
                    yield output
                    if output.finish:
                        return
                if request.aborted:
                    return
                if self._dead.is_set():
                    raise EngineDead(self._reason)
                request.ready.clear()
                await request.ready.wait()
        finally:
            self._release(request_id)

    async def abort(self, request_id: str) -> None:
        """Free the sequence."""
        request = self._requests.get(request_id)
        if request is not None:
            request.aborted = True
            request.outputs.clear()
            request.ready.set()
            self._release(request_id)

    def load(self) -> EngineLoad:
        """Return the load as it is."""
        waiting = sum(request.waiting for request in self._requests.values())
        used = sum(request.room for request in self._requests.values() if not request.waiting)
        return EngineLoad(
            running=len(self._requests) - waiting,
            waiting=waiting,
            kv_used=min(1.0, used / self._config.kv_tokens),
        )

    async def died(self) -> str:
        """Return the reason of its simulated death."""
        await self._dead.wait()
        return self._reason

    def crash(self, reason: str) -> None:
        """Die now, as a real engine's process would."""
        self._reason = reason
        self._dead.set()
        for request in self._requests.values():
            request.ready.set()

    async def close(self) -> None:
        """End the simulation."""
        if self._stepping is not None:
            self._stepping.cancel()
            await asyncio.gather(self._stepping, return_exceptions=True)
            self._stepping = None

    def _admit(
        self,
        request_id: str,
        prompt: tuple[int, ...],
        sampling: Sampling,
        pictures: Sequence[bytes],
    ) -> _Request:
        if self._dead.is_set():
            raise EngineDead(self._reason)
        if request_id in self._requests:
            raise EngineRefused(f"request {request_id} is running")
        length = self._length(prompt, pictures)
        if not prompt or length >= self._config.context_length:
            raise EngineRefused(
                f"a prompt of {length} tokens does not fit a window of "
                f"{self._config.context_length}"
            )
        if sampling.guide is not None:
            raise EngineRefused("a simulated engine draws words, not JSON")
        request = _Request(
            name=request_id,
            prompt=prompt,
            sampling=sampling,
            salt=self._salt(sampling),
            state=_digest(_digest(self._config.seed, _seen(pictures)), prompt),
            length=length,
            prefill=length,
            limit=min(sampling.max_tokens, self._config.context_length - length),
            seeing=bool(pictures),
            opening=_opening(prompt, self._config.openings),
        )
        self._requests[request_id] = request
        self._work.set()
        return request

    def _length(self, prompt: Sequence[int], pictures: Sequence[bytes]) -> int:
        """Return how many tokens the prompt is with its pictures."""
        config = self._config
        if len(pictures) > config.pictures_max:
            raise EngineRefused(f"a prompt takes at most {config.pictures_max} pictures")
        if pictures and prompt.count(config.picture_mark) != len(pictures):
            raise EngineRefused("the prompt has not one mark for each of its pictures")
        return len(prompt) + len(pictures) * (config.picture_tokens - 1)

    def _salt(self, sampling: Sampling) -> int:
        """Return what a draw depends on besides the tokens before it; 0 for greedy."""
        if sampling.temperature == 0:
            return 0
        if sampling.seed is not None:
            return sampling.seed * 2 + 1
        self._drawn += 1
        return self._drawn << 32 | self._clock.monotonic_ms()

    def _release(self, request_id: str) -> None:
        self._requests.pop(request_id, None)
        self._cache.end(request_id)

    async def _run(self) -> None:
        while not self._dead.is_set():
            if not self._requests:
                self._work.clear()
                await self._work.wait()
            self._step()
            changes = self._cache.take_changes()
            if changes and self._on_blocks is not None:
                self._on_blocks(changes)
            await self._clock.sleep(self._config.step_ms / 1000)

    def _step(self) -> None:
        config = self._config
        if config.stall_after and self._said >= config.stall_after:
            return
        free = config.kv_tokens - sum(r.room for r in self._requests.values() if not r.waiting)
        running = sum(not request.waiting for request in self._requests.values())
        budget = max(1, config.prefill_tokens_s * max(config.step_ms, 1) // 1000)
        for request in tuple(self._requests.values()):
            if request.waiting:
                if running >= config.slots or request.room >= free:
                    continue
                request.waiting = False
                if not request.seeing:
                    request.cached = self._cache.begin(request.name, request.prompt)
                request.prefill -= request.cached
                running += 1
                free -= request.room
            if request.prefill > 0:
                done = min(budget, request.prefill)
                request.prefill -= done
                budget -= done
                if request.prefill > 0:
                    continue
                self._cache.computed(request.name, request.prompt[request.cached :])
            self._say(request)
            if config.crash_after and self._said >= config.crash_after:
                self.crash("simulated crash")
                return

    def _say(self, request: _Request) -> None:
        if request.produced >= request.limit:
            return
        config, sampling = self._config, request.sampling
        salt = request.salt
        if salt or sampling.presence_penalty or sampling.frequency_penalty:
            salt = _mix(salt, request.produced + 1)
        drawn = _mix(request.state, salt)
        may_end = not sampling.ignore_eos and request.produced >= sampling.min_tokens
        if request.produced < len(request.opening):
            token = request.opening[request.produced]
        elif may_end and config.eos_every and (drawn >> 32) % config.eos_every == 0:
            token = config.eos_token
        else:
            token = _drawn(drawn, config.vocabulary, sampling.logit_bias)
        request.state = _mix(request.state, token)
        finish: Literal["stop", "length"] | None = "stop" if token == config.eos_token else None
        if finish is None and request.produced + 1 >= request.limit:
            finish = "length"
        output = EngineOutput(
            tokens=(token,),
            finish=finish,
            cached_tokens=None if request.produced else request.cached,
            prompt_tokens=request.length if request.seeing and not request.produced else None,
            start=request.produced,
            logprobs=()
            if sampling.logprobs is None
            else (_logprob(drawn, token, config.vocabulary, sampling.logprobs),),
        )
        self._cache.computed(request.name, (token,))
        request.produced += 1
        self._said += 1
        self._outputs += 1
        request.outputs.append(output)
        if config.duplicate_every and self._outputs % config.duplicate_every == 0:
            request.outputs.append(output)
        request.ready.set()


def _seen(pictures: Sequence[bytes]) -> tuple[int, ...]:
    """Return what a simulated model knows of pictures."""
    return tuple(int.from_bytes(sha256(data).digest()[:8], "little") for data in pictures)


def _opening(
    prompt: tuple[int, ...], openings: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
) -> tuple[int, ...]:
    """Return what an answer begins with, less what the prompt has of it already."""
    for ending, opening in openings:
        for place in range(len(opening)):
            end = len(prompt) - place
            if prompt[:end][-len(ending) :] == ending and prompt[end:] == opening[:place]:
                return opening[place:]
    return ()


def _drawn(drawn: int, vocabulary: Sequence[int], biases: Sequence[tuple[int, float]]) -> int:
    """Return the token of a draw: one that a bias of 100 forces, else the next of the
    vocabulary that none of -100 forbids. Lesser biases do not move a simulated draw."""
    for token, added in biases:
        if added >= _BIAS_MAX:
            return token
    forbidden = [token for token, added in biases if added <= -_BIAS_MAX]
    size = len(vocabulary)
    for place in range(size if forbidden else 0):
        token = vocabulary[(drawn + place) % size]
        if token not in forbidden:
            return token
    return vocabulary[drawn % size]


def _logprob(drawn: int, token: int, vocabulary: Sequence[int], asked: int) -> TokenLogprob:
    """Return likelihoods as plausible as the tokens: the drawn one is always the likeliest."""
    own = -(drawn % 1000 + 1) / 1000
    others = (vocabulary[(drawn + place) % len(vocabulary)] for place in range(1, asked + 1))
    top = [token, *(other for other in others if other != token)][:asked]
    return TokenLogprob(own, tuple((each, own - place) for place, each in enumerate(top)))


def _mix(state: int, value: int) -> int:
    """Return a 64-bit mixture (splitmix64's finalizer)."""
    mixed = (state * 0x9E3779B97F4A7C15 + value + 0x632BE59BD9B4E019) & _MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
    return mixed ^ mixed >> 31


def _digest(state: int, tokens: Sequence[int]) -> int:
    for token in tokens:
        state = _mix(state, token)
    return state
