"""Which worker serves which pool, and on which cores of this machine it computes."""

from collections.abc import Mapping, Sequence


def deal_workers(pools: Sequence[str], gpus: int) -> tuple[tuple[str, str], ...]:
    """Return pairs of worker id and pool: `gpus` workers dealt out in turn, at least one a
    pool."""
    count = max(gpus, len(pools))
    return tuple((f"gpu-{n + 1}", pools[n % len(pools)]) for n in range(count))


def cores_of(position: int, workers: int, cores: Sequence[int]) -> Mapping[str, str]:
    """Return the environment that binds engine `position` of `workers` on a CPU machine.

    Engines that bind themselves all take the same first core. With at least a core each they
    get neighbouring cores of their own; a single one, or more engines than cores, are left to
    the kernel.
    """
    if workers < 2 or len(cores) < workers:
        return {}
    share = len(cores) // workers
    mine = cores[position * share : (position + 1) * share]
    return {"VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, mine))}
