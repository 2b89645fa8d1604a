"""A guest and an operator at one stack, for one test."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ops.chaos.operator import Operator, looking_at
from ops.chaos.people import Person, Story, person
from ops.chaos.stack import RunningStack

DEFAULT_ROUNDS = 2
ROUNDS = int(os.environ.get("PARLEY_CHAOS_ROUNDS", DEFAULT_ROUNDS))
SEED = int(os.environ.get("PARLEY_CHAOS_SEED") or 0) or random.SystemRandom().randrange(1, 10**6)
SIMULATED = (
    "--engine", "sim", "--engine-arg", "step_ms=20", "--engine-arg", "eos_every=0", "--gpus", "2",
    "--engine-arg", "slots=16", "--queue-limit", "64",
)  # fmt: skip
PROMPT = "Tell me a long story about the sea."
SCENE_S = 420.0
SOME_ROUNDS = max(1, ROUNDS // 5)
"""For the many tests on simulated engines."""

_answers: dict[tuple[str, str, int], str] = {}


@dataclass(frozen=True)
class Scene:
    """Who is there. Connections of both outlive the stack's crashes."""

    stack: RunningStack
    guest: Person
    operator: Operator

    async def undisturbed(self, max_tokens: int, prompt: str = PROMPT) -> str:
        """Return the answer to the prompt when nothing goes wrong; asked for once a stack."""
        key = (self.stack.url, prompt, max_tokens)
        if key in _answers:
            return _answers[key]
        story = await (await self.guest.ask(prompt, max_tokens)).ended()
        assert story.end == "run.completed"
        assert "run.recovered" not in story.kinds
        _answers[key] = story.text
        return story.text


@asynccontextmanager
async def scene(stack: RunningStack, nats: str = "") -> AsyncIterator[Scene]:
    """Bring a guest and an operator to a stack that is ready, or about to be again; bounded in
    time as a whole."""
    async with (
        asyncio.timeout(SCENE_S),
        person(stack.url) as guest,
        looking_at(stack.home, nats) as operator,
    ):
        while await guest.readiness() != 200:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.05)
        yield Scene(stack, guest, operator)


async def exactly_told(at: Scene, stories: Sequence[Story], expected: str) -> int:
    """Check every story, and return the longest silence in any."""
    for story in stories:
        await story.ended()
        assert story.end == "run.completed"
        assert story.text == expected
        stored = await at.guest.stored(story)
        assert (stored["status"], stored["content"]) == ("complete", expected)
        await at.operator.audit(story)
    await at.operator.idle()
    return max(story.gap_ms for story in stories)
