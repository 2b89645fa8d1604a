"""The tables of the settings file: `[tiers.NAME]` and `[models.POOL]`.

What a table does not say is as by default (`default_tiers`). A value that does not fit, alone
or beside another, is named with its key and its source.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from actors.scheduler.config import (
    MEASURES,
    BudgetConfig,
    Measure,
    TierConfig,
    default_tiers,
)
from actors.scheduler.costs import Costs
from contracts.runs import TIERS
from ops import setting_values as values

_COST_MAX = 1_000_000_000
_BUDGET_MAX = 1_000_000_000_000_000
_DAY_S = 86_400

Table = Mapping[str, Mapping[str, object]]


class Misfit(ValueError):
    """A value of a table that can't be used; the words follow "it must be"."""

    def __init__(self, key: str, raw: object, source: str, must: str) -> None:
        super().__init__(must)
        self.key = key
        self.raw = raw
        self.source = source


@dataclass(frozen=True, slots=True)
class Layer:
    """The tables of one source, by name."""

    source: str
    tables: Table


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What the file says of a pool. `model` is a name or path ("": given elsewhere), `costs`
    are micro-GPU-seconds a token, `fallback` the pool of a smaller model ("": none).
    `demonstration` None: what the model's own files say."""

    model: str = ""
    costs: Costs = field(default_factory=Costs)
    fallback: str = ""
    description: str = ""
    abilities: tuple[str, ...] = ()
    demonstration: bool | None = None


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as some source gave it, and as it was read."""

    raw: object
    source: str
    value: Any


def measures(raw: object) -> tuple[Measure, ...]:
    """Return what degradation may do to a tier: a list, or words joined by `+`; none for an
    empty one."""
    words = raw.split("+") if isinstance(raw, str) else raw
    given = list(words) if isinstance(words, list | tuple) else [words]
    given = [word for word in given if word not in ("", "none")]
    if any(word not in MEASURES for word in given):
        raise ValueError("a list of " + ", ".join(MEASURES))
    return tuple(measure for measure in MEASURES if measure in given)


def _words(raw: object) -> tuple[str, ...]:
    if not isinstance(raw, list | tuple) or not all(isinstance(word, str) for word in raw):
        raise ValueError("a list of texts")
    return tuple(raw)


_seconds = values.integer(1, _DAY_S)
_amount = values.integer(0, _BUDGET_MAX)
_count = values.integer(0, 1_000_000)

_TIER_KEYS: Mapping[str, Callable[[object], object]] = {
    "weight": values.integer(1, 1_000_000),
    "wait_s": _seconds,
    "wait_soft_s": _seconds,
    "slots": _count,
    "lendable": values.yes_or_no,
    "concurrency": _count,
    "output_max": values.integer(0, 10_000_000),
    "budget_gpu_us": _amount,
    "refill_gpu_us_s": _amount,
    "debt_gpu_us": _amount,
    "degrade": measures,
    "concurrency_capped": _count,
    "output_capped": values.integer(0, 10_000_000),
}
_MODEL_KEYS: Mapping[str, Callable[[object], object]] = {
    "model": values.text,
    "prefill_gpu_us": values.integer(0, _COST_MAX),
    "cached_gpu_us": values.integer(0, _COST_MAX),
    "output_gpu_us": values.integer(1, _COST_MAX),
    "fallback": values.text,
    "description": values.text,
    "abilities": _words,
    "demonstration": values.yes_or_no,
}


def layer_of(source: str, raw: object, key: str) -> Layer:
    """Return the tables of the file under `key`, checked to be tables. Raises Misfit."""
    if not isinstance(raw, Mapping):
        raise Misfit(key, raw, source, f"tables, [{key}.NAME] each")
    for name, table in raw.items():
        if not isinstance(table, Mapping):
            raise Misfit(f"{key}.{name}", table, source, f"a table, [{key}.{name}]")
    tables = {
        str(name): {str(k).replace("-", "_"): v for k, v in table.items()}
        for name, table in raw.items()
    }
    return Layer(source, tables)


def layer_of_items(source: str, items: Mapping[str, object]) -> Layer:
    """Return the tables that NAME.KEY=VALUE items make. Raises Misfit."""
    tables: dict[str, dict[str, object]] = {}
    for path, value in items.items():
        name, dot, key = path.partition(".")
        if not dot or not key:
            raise Misfit("tier", f"{path}={value}", source, "TIER.KEY=VALUE")
        tables.setdefault(name, {})[key] = value
    return Layer(source, tables)


def tiers(layers: Sequence[Layer]) -> dict[str, TierConfig]:
    """Return the tiers that the layers make, later ones over earlier ones. Raises Misfit."""
    usual = default_tiers()
    given: dict[str, dict[str, _Given]] = {name: {} for name in usual}
    for layer in layers:
        for name, table in layer.tables.items():
            if name not in given:
                known = ", ".join(TIERS)
                raise Misfit(f"tiers.{name}", name, layer.source, f"one of the tiers {known}")
            given[name] |= _read(f"tiers.{name}", table, layer.source, _TIER_KEYS)
    return {name: _tier(name, config, given[name]) for name, config in usual.items()}


def pools(layer: Layer) -> dict[str, PoolSettings]:
    """Return what the file says of each pool. Raises Misfit."""
    found: dict[str, PoolSettings] = {}
    for name, table in layer.tables.items():
        given = _read(f"models.{name}", table, layer.source, _MODEL_KEYS)
        usual = Costs()
        said = {key: one.value for key, one in given.items()}
        found[name] = PoolSettings(
            model=said.get("model", ""),
            costs=Costs(
                prefill_us=said.get("prefill_gpu_us", usual.prefill_us),
                cached_us=said.get("cached_gpu_us", usual.cached_us),
                output_us=said.get("output_gpu_us", usual.output_us),
            ),
            fallback=said.get("fallback", ""),
            description=said.get("description", ""),
            abilities=said.get("abilities", ()),
            demonstration=said.get("demonstration"),
        )
        costs = found[name].costs
        if costs.cached_us > costs.prefill_us:
            _refuse_cached(f"models.{name}", given, costs, layer.source)
    return found


def check_pools(
    found: Mapping[str, PoolSettings], served: Iterable[str], source: str
) -> dict[str, PoolSettings]:
    """Return what is known of every served pool. Raises Misfit: a table of a pool that nobody
    serves, or a fallback to such a one."""
    names = list(served)
    for name, pool in found.items():
        if name not in names and not pool.model:
            must = f"a pool that is served, which are {', '.join(names)}, or name its model"
            raise Misfit(f"models.{name}", name, source, must)
        others = [other for other in names if other != name]
        if name in names and pool.fallback and pool.fallback not in others:
            must = f"another pool that is served ({', '.join(others) or 'there is none'})"
            raise Misfit(f"models.{name}.fallback", pool.fallback, source, must)
    return {name: found.get(name, PoolSettings()) for name in names}


def check_budgets(
    made: Mapping[str, TierConfig], found: Mapping[str, PoolSettings], source: str
) -> None:
    """Raise Misfit if a tier's budget would not pay for the shortest prompt of some pool."""
    for name, tier in made.items():
        for pool, config in found.items():
            least = config.costs.charge(1, 0, 1)
            if tier.budget is not None and tier.budget.size < least:
                must = f"at least {least}, what the shortest prompt costs in the pool {pool}"
                raise Misfit(f"tiers.{name}.budget_gpu_us", tier.budget.size, source, must)


def _read(
    where: str,
    table: Mapping[str, object],
    source: str,
    keys: Mapping[str, Callable[[object], object]],
) -> dict[str, _Given]:
    read: dict[str, _Given] = {}
    for key, raw in table.items():
        if key not in keys:
            near = get_close_matches(key, keys, n=1)
            must = f"a key such as {near[0]}" if near else f"one of {', '.join(keys)}"
            raise Misfit(f"{where}.{key}", raw, source, must)
        try:
            read[key] = _Given(raw, source, keys[key](raw))
        except ValueError as error:
            raise Misfit(f"{where}.{key}", raw, source, str(error)) from error
    return read


def _tier(name: str, usual: TierConfig, given: Mapping[str, _Given]) -> TierConfig:
    def said(key: str, default: Any) -> Any:
        return given[key].value if key in given else default

    wait_ms = said("wait_s", usual.wait_limit_ms // 1000) * 1000
    soft_ms = min(usual.wait_soft_ms, wait_ms)
    if "wait_soft_s" in given:
        soft_ms = given["wait_soft_s"].value * 1000
    made = TierConfig(
        weight=said("weight", usual.weight),
        wait_limit_ms=wait_ms,
        wait_soft_ms=soft_ms,
        slots=said("slots", usual.slots),
        lendable=said("lendable", usual.lendable),
        concurrency=said("concurrency", usual.concurrency),
        output_max=said("output_max", usual.output_max),
        budget=_budget(name, given),
        measures=said("degrade", usual.measures),
        concurrency_capped=said("concurrency_capped", usual.concurrency_capped),
        output_capped=said("output_capped", usual.output_capped),
    )
    _check_tier(name, made, given)
    return made


def _budget(name: str, given: Mapping[str, _Given]) -> BudgetConfig | None:
    size = given["budget_gpu_us"].value if "budget_gpu_us" in given else 0
    refill = given["refill_gpu_us_s"].value if "refill_gpu_us_s" in given else 0
    debt = given["debt_gpu_us"].value if "debt_gpu_us" in given else 0
    if not size:
        for key in ("refill_gpu_us_s", "debt_gpu_us"):
            if key in given and given[key].value:
                must = "0 without a budget_gpu_us"
                raise Misfit(f"tiers.{name}.{key}", given[key].raw, given[key].source, must)
        return None
    if not refill:
        one = given.get("refill_gpu_us_s", given["budget_gpu_us"])
        must = "at least 1 where there is a budget_gpu_us: an empty budget would stay empty"
        raise Misfit(f"tiers.{name}.refill_gpu_us_s", refill, one.source, must)
    return BudgetConfig(size=size, refill=refill, debt=debt)


def _check_tier(name: str, tier: TierConfig, given: Mapping[str, _Given]) -> None:
    """Refuse limits that contradict one another."""
    contradictions = (
        ("wait_soft_s", tier.wait_soft_ms > tier.wait_limit_ms, "at most wait_s", "wait_s"),
        (
            "concurrency_capped",
            0 < tier.concurrency < tier.concurrency_capped,
            "at most concurrency",
            "concurrency",
        ),
        (
            "output_capped",
            0 < tier.output_max < tier.output_capped,
            "at most output_max",
            "output_max",
        ),
    )
    for key, wrong, must, other in contradictions:
        if not wrong:
            continue
        if key in given:
            one = given[key]
            limit = given[other].value if other in given else ""
            words = f"{must}, {limit}" if limit != "" else must
            raise Misfit(f"tiers.{name}.{key}", one.raw, one.source, words)
        one = given[other]
        raise Misfit(f"tiers.{name}.{other}", one.raw, one.source, f"at least {key}")


def _refuse_cached(where: str, given: Mapping[str, _Given], costs: Costs, source: str) -> None:
    key = "cached_gpu_us" if "cached_gpu_us" in given else "prefill_gpu_us"
    must = (
        f"at most prefill_gpu_us, {costs.prefill_us}"
        if key == "cached_gpu_us"
        else f"at least cached_gpu_us, {costs.cached_us}"
    )
    raise Misfit(f"{where}.{key}", given[key].raw, source, must)
