"""Listens to the queue of a running stack: what each run's prompt holds."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from actors.runtime.clock import SystemClock
from actors.runtime.nats_bus import NatsBus
from actors.runtime.tokenizer import HfTextCodec
from contracts.codec import decode
from contracts.ports.bus import Inbound
from contracts.runs import RunSpec
from ops.bench.client import BenchFailed
from ops.nats_server import facts_of

_KEPT = 256


class Prompts:
    """The prompts of the newest runs, as text."""

    def __init__(self, codec: HfTextCodec) -> None:
        self._codec = codec
        self._held: OrderedDict[str, str] = OrderedDict()

    def of(self, run_id: str) -> str:
        """Return the prompt of a run; '' if it was not heard."""
        return self._held.get(run_id, "")

    def hear(self, message: Inbound) -> None:
        """Take a run on its way to the queue."""
        spec = decode(message.data, RunSpec)
        self._held[spec.run_id] = self._codec.decode(spec.prompt_tokens)
        while len(self._held) > _KEPT:
            self._held.popitem(last=False)


@asynccontextmanager
async def prompts_of(home: Path, model: Path) -> AsyncIterator[Prompts]:
    """Yield the prompts of the stack at `home`, as they are queued from now on."""
    facts = facts_of(home)
    if facts is None:
        raise BenchFailed(f"There is no stack at {home}.")
    prompts = Prompts(HfTextCodec.load(model))
    bus = await NatsBus.connect([facts.url("operator")], name="bench", clock=SystemClock())
    try:
        await bus.subscribe("run.q.*.*", prompts.hear)
        yield prompts
    finally:
        await bus.close()
