"""`parley ps`, `runs`, `run`, `queue`, `workers`: live state, as tables or JSON."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import click
import uvloop

from actors.runtime.clock import SystemClock
from actors.runtime.token_log import BusTokenLog
from contracts.codec import encode
from contracts.errors import LogGone, ParleyError
from contracts.ids import is_id
from contracts.ports.bus import Bus
from contracts.scheduling import (
    ActorInfo,
    DescribePool,
    DescribeRun,
    RunList,
    RunView,
    WorkerView,
)
from contracts.subjects import scheduler_requests, token_entries, token_partition, token_stream
from ops.cli.options import with_json, with_settings
from ops.live import describe_pools, describe_run, known_pools, living_actors, operator_bus
from ops.settings import Settings
from ops.telemetry import silence_logging

T = TypeVar("T")
Row = Mapping[str, object]
_LIMIT = 1_000


class NoSuchRun(ParleyError):
    """Neither the schedulers nor the token log know the run."""


@click.command()
@with_settings("look")
@with_json
def ps(settings: Settings, as_json: bool) -> None:
    """List the live actors of the stack."""
    rows = [_actor_row(info) for info in _ask(settings, living_actors)]
    flat = [{**row, **_mapping(row["load"])} for row in rows]
    columns = ("role", "id", "pid", "host", "state", "epoch", "running", "waiting", "kvUsed")
    if as_json:
        _print_json(rows)
    else:
        _print_table(flat, columns, "nats micro ls; nats sub 'actor.>'", "No actor is alive.")


@click.command()
@with_settings("look")
@with_json
def runs(settings: Settings, as_json: bool) -> None:
    """List the runs in flight: written, dispatched and waiting."""
    pools = _ask(settings, lambda bus: describe_pools(bus, _LIMIT, known_pools(settings)))
    rows = [_run_row(view, pool) for pool, answer in pools for view in answer.runs]
    _show_runs(rows, as_json, pools[0][0], "No run is in flight.")


@click.command()
@with_settings("look")
@with_json
def queue(settings: Settings, as_json: bool) -> None:
    """List the runs that wait, the next one first, and say how far service is degraded."""
    pools = _ask(settings, lambda bus: describe_pools(bus, _LIMIT, known_pools(settings)))
    rows = [
        _run_row(view, pool)
        for pool, answer in pools
        for view in answer.runs
        if view.state == "queued"
    ]
    if not as_json:
        for pool, answer in pools:
            click.echo(standing(pool, answer))
        click.echo()
    _show_runs(rows, as_json, pools[0][0], "No run waits.")


@click.command()
@with_settings("look")
@with_json
def workers(settings: Settings, as_json: bool) -> None:
    """List the gpu actors as their schedulers see them."""
    pools = _ask(settings, lambda bus: describe_pools(bus, 0, known_pools(settings)))
    rows = [_worker_row(view, pool) for pool, answer in pools for view in answer.workers]
    columns = ("id", "pool", "model", "engine", "state", "pid", "slots", "running", "kvUsed")
    request = encode(DescribePool()).decode()
    equivalent = f"nats req {scheduler_requests(pools[0][0])} '{request}'"
    if as_json:
        _print_json(rows)
    else:
        _print_table(rows, columns, equivalent, "No worker is known.")


@click.command()
@with_settings("look")
@with_json
@click.argument("run_id")
def run(settings: Settings, as_json: bool, run_id: str) -> None:
    """Show one run: in flight, or ended within the last 15 minutes."""
    if not is_id(run_id, "run"):
        raise click.UsageError(f"{run_id} is not a run id: those look like run_01k9….")
    row = _ask(settings, lambda bus: _one_run(bus, run_id, known_pools(settings)))
    if as_json:
        click.echo(json.dumps(row, indent=2))
        return
    for name, value in row.items():
        click.echo(f"{name:<10} {_cell(value)}")
    stream, subject = token_stream(token_partition(run_id)), token_entries(run_id)
    click.echo(f"\nThe same with nats: nats stream view {stream} --subject {subject}")
    click.echo(
        f"or: nats req {scheduler_requests('default')} "
        f"'{encode(DescribeRun(run_id=run_id)).decode()}'"
    )


def standing(pool: str, answer: RunList) -> str:
    """Return a line on how a pool stands: its level, why, and what newcomers would wait."""
    words = f"pool {pool}: {answer.level}" + (f" ({answer.why})" if answer.why else "")
    waits = (answer.waits_ms or {}).items()
    told = ", ".join(f"{tier} {ms / 1000:.1f} s" for tier, ms in waits)
    return f"{words}; {answer.queued} wait" + (f"; a newcomer waits: {told}" if told else "")


async def _one_run(bus: Bus, run_id: str, pools: Sequence[str]) -> Row:
    answer = await describe_run(bus, run_id, pools)
    if answer is not None:
        return _run_row(answer.runs[0])
    log = BusTokenLog(bus, SystemClock(), siblings=True)
    claim = await log.read_claim(run_id)
    if claim is None:
        raise NoSuchRun(
            f"Nobody knows the run {run_id}: it was never accepted, or ended more than "
            "15 minutes ago (its chat's history has it)."
        )
    epoch, last = claim
    try:
        state = await log.read(run_id)
    except LogGone as error:
        raise NoSuchRun(f"The log of {run_id} has aged out; its chat's history has it.") from error
    ended = state.terminal is not None or state.end is not None
    ending = state.end.finish_reason if state.end else "failed"
    return {
        "runId": run_id,
        "chatId": None,
        "state": ending if ended else "unknown",
        "epoch": epoch,
        "worker": last.writer,
        "position": 0,
        "tokens": len(state.tokens),
    }


def _ask(settings: Settings, question: Callable[[Bus], Awaitable[T]]) -> T:
    silence_logging()

    async def ask() -> T:
        async with operator_bus(settings) as bus:
            return await question(bus)

    return uvloop.run(ask())


def _actor_row(info: ActorInfo) -> dict[str, object]:
    load: dict[str, object] = {"running": info.running, "waiting": info.waiting}
    if info.kv_used is not None:
        load["kvUsed"] = info.kv_used
    return {
        "role": info.role,
        "id": info.id,
        "pid": info.pid,
        "host": info.host,
        "state": info.state,
        "epoch": info.epoch,
        "load": load,
    }


def _run_row(view: RunView, pool: str = "") -> dict[str, object]:
    row: dict[str, object] = {
        "runId": view.run_id,
        "chatId": view.chat_id,
        "state": view.state,
        "epoch": view.epoch,
        "worker": view.worker,
        "position": view.position,
        "tokens": view.tokens,
        "attempt": view.attempt,
        "tier": view.tier,
        "userId": view.user_id,
        "etaMs": view.eta_ms,
    }
    return {**row, "pool": pool} if pool else row


def _worker_row(view: WorkerView, pool: str) -> dict[str, object]:
    return {
        "id": view.worker,
        "pool": pool,
        "model": view.model,
        "engine": view.engine,
        "state": view.state if not view.quarantined_ms else "quarantined",
        "slots": view.slots,
        "running": view.running,
        "waiting": view.waiting,
        "kvUsed": view.kv_used,
        "pid": view.pid,
        "host": view.host,
        "incarnation": view.incarnation,
        "silentMs": view.silent_ms,
        "quarantinedMs": view.quarantined_ms,
    }


def _show_runs(rows: Sequence[Row], as_json: bool, pool: str, nothing: str) -> None:
    if as_json:
        _print_json(rows)
        return
    columns = ("runId", "state", "worker", "position", "tokens", "attempt", "tier", "chatId")
    request = encode(DescribePool(limit=_LIMIT)).decode()
    _print_table(rows, columns, f"nats req {scheduler_requests(pool)} '{request}'", nothing)


def _print_json(rows: Sequence[Row]) -> None:
    click.echo(json.dumps(rows, indent=2))


def _print_table(
    rows: Sequence[Row], columns: Sequence[str], equivalent: str, nothing: str
) -> None:
    click.echo(table(rows, columns) if rows else nothing)
    click.echo(f"\nThe same with nats: {equivalent}")


def table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return rows as text in columns as wide as their widest cell."""
    cells = [[name.upper() for name in columns]]
    cells += [[_cell(row.get(name)) for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _mapping(value: object) -> Row:
    return value if isinstance(value, Mapping) else {}
