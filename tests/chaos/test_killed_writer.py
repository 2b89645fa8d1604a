"""kill -9 of the vLLM actor that is writing: another goes on in the middle of the sentence."""

import signal

import psutil
import pytest

from ops.chaos.figures import Report
from ops.chaos.stack import RunningStack
from tests.chaos.scene import PROMPT, ROUNDS, scene
from tests.support.families import wait_gone

pytestmark = [
    pytest.mark.chaos, pytest.mark.nats, pytest.mark.vllm, pytest.mark.timeout(480),
]  # fmt: skip
TOKENS = 1_500
KILL_AT = (12, 4, 30, 2, 50)
"""After how many deltas the writer dies, in turn."""


@pytest.mark.parametrize("round_", range(1, ROUNDS + 1))
async def test_a_killed_vllm_writer_is_succeeded_exactly(
    vllm_stack: RunningStack, report: Report, round_: int
) -> None:
    failure = "kill -9 of the writing gpu actor (vLLM)"
    prompt = f"{PROMPT} Number {round_}."
    async with scene(vllm_stack) as at:
        await at.operator.workers_ready(2)
        calm = await (await at.guest.ask(prompt, TOKENS)).ended()
        assert calm.end == "run.completed" and "run.recovered" not in calm.kinds
        story = await at.guest.ask(prompt, TOKENS)
        writer = await at.operator.writer_of(story)
        family = psutil.Process(writer.pid).children(recursive=True)
        await story.reached(KILL_AT[round_ % len(KILL_AT)])
        psutil.Process(writer.pid).send_signal(signal.SIGKILL)
        assert story.kinds[-1] == "message.delta", "the answer ended before its writer died"
        await story.ended()
        assert story.text == calm.text
        assert (await at.guest.stored(story))["content"] == calm.text
        assert story.kinds.count("run.recovered") == 1
        assert story.end == "run.completed"
        assert story.connections == 1
        await at.operator.audit(story)
        wait_gone(writer.pid, *(process.pid for process in family))
        report.add(failure, "largest gap seen by the client", story.gap_ms, round_)
        report.add(failure, "largest gap of the undisturbed answer", calm.gap_ms, round_)
