"""The run that a summarizer asks of the cheap model. Pure."""

from actors.summarizer.config import SummarizerConfig
from contracts.block_keys import prompt_keys
from contracts.runs import RunSpec, Sampling


def background_run(
    config: SummarizerConfig,
    run_id: str,
    user_id: str,
    tokens: tuple[int, ...],
    *,
    sampling: Sampling,
    now_ms: int,
) -> RunSpec:
    """Return a run in the background class, in the name of the chat's user, that may be put off."""
    return RunSpec(
        run_id=run_id,
        pool=config.pool,
        model=config.model,
        user_id=user_id,
        prompt_tokens=tokens,
        block_keys=prompt_keys(tokens),
        sampling=sampling,
        submitted_at_ms=now_ms,
        tier="background",
        deferrable=True,
    )
