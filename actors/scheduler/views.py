"""Runs and pool as operators see them. Pure."""

from collections.abc import Mapping
from itertools import islice

from actors.scheduler.estimate import ServiceEstimate
from actors.scheduler.order import Order
from actors.scheduler.state import Run, Stage
from contracts.scheduling import RunList, RunState, RunView

_STATES: dict[Stage, RunState] = {
    "queued": "queued",
    "dispatched": "dispatched",
    "running": "running",
    "checking": "running",
    "cancelling": "cancelling",
    "ending": "cancelling",
}


def run_view(run: Run, position: int, eta_ms: int | None) -> RunView:
    """Return one run; `position` 0 once it is dispatched."""
    spec = run.spec
    return RunView(
        run_id=spec.run_id,
        state=_STATES[run.stage],
        user_id=spec.user_id,
        tier=spec.tier,
        chat_id=spec.chat_id,
        attempt=run.attempt,
        worker=run.worker,
        position=position,
        eta_ms=eta_ms,
        tokens=run.tokens,
        submitted_at_ms=spec.submitted_at_ms,
    )


def run_list(run: Run | None, order: Order) -> RunList:
    """Return the list of one run, empty if there is none."""
    if run is None:
        return RunList()
    position = order.position(run) if run.stage == "queued" else 0
    return RunList(runs=(run_view(run, position, None),), queued=len(order))


def pool_list(
    placed: Mapping[str, Run],
    order: Order,
    estimate: ServiceEstimate,
    slots: int,
    limit: int,
) -> RunList:
    """Return up to `limit` runs, those on workers first, then the queue in its order."""
    views = [run_view(run, 0, None) for run in islice(placed.values(), limit)]
    for position, run in enumerate(order.first(limit - len(views)), start=1):
        views.append(run_view(run, position, estimate.wait_ms(position, slots)))
    return RunList(
        runs=tuple(views),
        queued=len(order),
        running=len(placed),
    )
