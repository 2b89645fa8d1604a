"""A process that owns a vLLM engine and does nothing else: to be killed.

Run as `python -m tests.support.engine_owner`; it prints `ready` once it decodes, and goes on
decoding until somebody ends it. The engine computes in a process that its core has started, as
it does on several GPUs.
"""

import asyncio
import sys

from actors.gpu.vllm_engine import VllmEngine
from contracts.runs import Sampling
from tests.support.random_model import random_llama


async def _own() -> None:
    engine = VllmEngine(random_llama(), {"max_num_seqs": 4, "distributed_executor_backend": "mp"})
    await engine.start(_say)
    sampling = Sampling(max_tokens=1900, temperature=0.0, ignore_eos=True)
    number = 0
    while True:
        number += 1
        async for output in engine.generate(f"run-{number}", (7, 8, 9 + number % 99), sampling):
            if number == 1 and output.start == 10:
                _say("ready")


def _say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_own())
