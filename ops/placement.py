"""Which worker serves which pool, and on which cores or cards of this machine it computes."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence

import psutil

_ENGINE_BYTES = 4 << 30


def usual_workers(engine: str) -> int:
    """Return how many gpu actors this machine gets when nobody says: one for each NVIDIA card;
    without a card two, so that one can die and the other goes on, or one where memory or
    cores are short."""
    cards = nvidia_cards() if engine == "vllm" else 0
    if cards:
        return cards
    if engine == "sim":
        return 2
    roomy = psutil.virtual_memory().available >= 2 * _ENGINE_BYTES
    return 2 if roomy and (psutil.cpu_count() or 1) >= 2 else 1


def nvidia_cards() -> int:
    """Return how many NVIDIA cards the driver lists, 0 without one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def deal_workers(pools: Sequence[str], gpus: int) -> tuple[tuple[str, str], ...]:
    """Return pairs of worker id and pool: `gpus` workers dealt out in turn, at least one a
    pool."""
    count = max(gpus, len(pools))
    return tuple((f"gpu-{n + 1}", pools[n % len(pools)]) for n in range(count))


def scheduler_ids(name: str, pools: Sequence[str]) -> Mapping[str, str]:
    """Return under which name each pool's scheduler works in a process called `name`."""
    return {pool: name if len(pools) == 1 else f"{name}-{pool}" for pool in pools}


def place_embedder(workers: int, cards: int) -> Mapping[str, str]:
    """Return the environment of the embedding worker: the first card that no engine has; where
    there is none, it shares the first of all. On a CPU it is left to the kernel."""
    return {"CUDA_VISIBLE_DEVICES": str(workers)} if cards > workers else {}


def place(position: int, workers: int, cores: Sequence[int], cards: int) -> Mapping[str, str]:
    """Return the environment that binds engine `position` of `workers`.

    Where there is a card for each worker, each sees its own. On a CPU, engines that bind
    themselves all take the same first core: with at least a core each they get neighbouring
    cores of their own; a single one, or more engines than cores, are left to the kernel.
    """
    if cards:
        return {"CUDA_VISIBLE_DEVICES": str(position)} if 1 < workers <= cards else {}
    if workers < 2 or len(cores) < workers:
        return {}
    share = len(cores) // workers
    mine = cores[position * share : (position + 1) * share]
    return {"VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, mine))}
