"""vLLM's own benchmark client, unmodified, against the stack: its requests are all answered."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from ops.bench.client import Load, measure
from tests.integration.openai.conftest import MODEL, Stack

TOKENIZER = Path(__file__).parents[3] / "ops" / "models" / "parley-small"


@pytest.mark.timeout(400)
async def test_benchmark_client_has_every_request_answered_in_full(stack: Stack) -> None:
    if find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    load = Load(prompts=12, input_tokens=16, output_tokens=24, concurrency=6, seed=1)
    key = await stack.key("bench")
    found = await measure(stack.edges[0].url, MODEL, TOKENIZER, load, key)
    assert (found.completed, found.failed) == (12, 0)
    assert found.tokens_s > 0
    assert found.ttft_p99_ms >= found.ttft_p50_ms > 0
