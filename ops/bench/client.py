"""vLLM's own benchmark client, unmodified, as a process of its own.

The distribution's `vllm` command does not work on the CPU build, so its module is called.
"""

import asyncio
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import ParleyError
from ops.bench.report import Measured

_MAIN = (
    "from vllm.benchmarks.serve import add_cli_args, main\n"
    "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
    "parser = FlexibleArgumentParser()\n"
    "add_cli_args(parser)\n"
    "main(parser.parse_args())\n"
)


class BenchFailed(ParleyError):
    """A server or the client did not do what the measurement needs."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the client sends: `prompts` requests of `input_tokens` random tokens, answered by
    exactly `output_tokens`, at most `concurrency` at once."""

    prompts: int
    input_tokens: int
    output_tokens: int
    concurrency: int
    seed: int


async def measure(base_url: str, model: str, tokenizer: Path, load: Load, key: str) -> Measured:
    """Run the client once against an OpenAI-compatible server.

    Raises BenchFailed with the client's last words.
    """
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        arguments = {
            "backend": "openai",
            "base-url": base_url,
            "endpoint": "/v1/completions",
            "model": model,
            "tokenizer": str(tokenizer),
            "dataset-name": "random",
            "random-input-len": str(load.input_tokens),
            "random-output-len": str(load.output_tokens),
            "num-prompts": str(load.prompts),
            "max-concurrency": str(load.concurrency),
            "num-warmups": str(min(4, load.concurrency)),
            "seed": str(load.seed),
            "temperature": "0",
            "result-dir": folder,
            "result-filename": "result.json",
        }
        flags = [part for name, value in arguments.items() for part in (f"--{name}", value)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _MAIN,
            *flags,
            "--ignore-eos",
            "--save-result",
            "--disable-tqdm",
            env={**os.environ, "OPENAI_API_KEY": key, "HF_HUB_OFFLINE": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        result = Path(folder) / "result.json"
        if process.returncode or not result.exists():
            tail = output.decode(errors="replace").strip().splitlines()[-3:]
            raise BenchFailed(f"The benchmark client failed: {' | '.join(tail)}")
        return _measured(json.loads(result.read_text()))


def _measured(result: dict[str, float]) -> Measured:
    return Measured(
        tokens_s=float(result["output_throughput"]),
        ttft_p50_ms=float(result["median_ttft_ms"]),
        ttft_p99_ms=float(result["p99_ttft_ms"]),
        itl_p50_ms=float(result["median_itl_ms"]),
        completed=int(result["completed"]),
        failed=int(result.get("failed", 0)),
    )
