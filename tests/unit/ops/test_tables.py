"""The tables of tiers and models: what they make, and what a bad one is told."""

import tomllib
from pathlib import Path

import pytest

from actors.scheduler.config import BudgetConfig, default_tiers
from actors.scheduler.costs import Costs
from ops.setting_values import BadSetting
from ops.settings import load, reloaded

FILE = """
[tiers.free]
weight = 20
wait_s = 30
wait_soft_s = 5
slots = 2
lendable = false
concurrency = 3
output_max = 800
budget_gpu_us = 60_000_000
refill_gpu_us_s = 100_000
debt_gpu_us = 1_000_000
degrade = ["shed", "cap"]
concurrency_capped = 1
output_capped = 200

[models.fast]
model = "parley-small"
prefill_gpu_us = 50
cached_gpu_us = 5
output_gpu_us = 120
description = "Quick and small"
abilities = ["vision"]
demonstration = true

[models.capable]
model = "org/large"
fallback = "fast"
"""


def test_tables_of_the_file_make_tiers_and_pools() -> None:
    settings = load({}, {}, tomllib.loads(FILE))
    free = settings.tiers["free"]
    assert (free.weight, free.wait_limit_ms, free.soft_ms, free.slots) == (20, 30_000, 5_000, 2)
    assert (free.lendable, free.concurrency, free.output_max) == (False, 3, 800)
    assert free.budget == BudgetConfig(size=60_000_000, refill=100_000, debt=1_000_000)
    assert free.measures == ("cap", "shed")
    assert (free.concurrency_capped, free.output_capped) == (1, 200)
    assert settings.tiers["paid"] == default_tiers()["paid"]
    assert settings.models == (("fast", "parley-small"), ("capable", "org/large"))
    fast, capable = settings.served["fast"], settings.served["capable"]
    assert fast.costs == Costs(prefill_us=50, cached_us=5, output_us=120)
    assert (fast.description, fast.abilities, fast.demonstration) == (
        "Quick and small",
        ("vision",),
        True,
    )
    assert (capable.fallback, capable.costs, capable.demonstration) == ("fast", Costs(), None)


def test_a_flag_wins_over_environment_over_file_for_each_key_of_a_tier() -> None:
    file = {"tiers": {"free": {"weight": 2, "slots": 2, "concurrency": 2}}}
    environ = {"PARLEY_TIER": "free.weight=3,free.slots=3"}
    free = load({"tier": ("free.weight=4",)}, environ, file).tiers["free"]
    assert (free.weight, free.slots, free.concurrency) == (4, 3, 2)


def test_models_of_a_flag_win_over_the_tables_and_keep_their_costs() -> None:
    settings = load({"model": ("capable=other",)}, {}, {"models": {"capable": {"model": "x"}}})
    assert settings.models == (("capable", "other"),)
    settings = load({"model": ("a=x", "b=y")}, {}, {"models": {"a": {"output_gpu_us": 9}}})
    assert settings.served["a"].costs.output_us == 9
    assert settings.served["b"].costs == Costs()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            "[tiers.free]\nweight = 0",
            "tiers.free.weight = '0' (parley.toml) does not fit: "
            "it must be a whole number from 1 to 1000000.",
        ),
        (
            "[tiers.gold]\nweight = 1",
            "tiers.gold = 'gold' (parley.toml) does not fit: "
            "it must be one of the tiers paid, free, background.",
        ),
        (
            "[tiers.free]\nwieght = 1",
            "tiers.free.wieght = '1' (parley.toml) does not fit: it must be a key such as weight.",
        ),
        (
            "[tiers.free]\nwait_s = 10\nwait_soft_s = 20",
            "tiers.free.wait_soft_s = '20' (parley.toml) does not fit: "
            "it must be at most wait_s, 10.",
        ),
        (
            "[tiers.free]\nconcurrency = 1\nconcurrency_capped = 2",
            "tiers.free.concurrency_capped = '2' (parley.toml) does not fit: "
            "it must be at most concurrency, 1.",
        ),
        (
            "[tiers.free]\noutput_max = 100",
            "tiers.free.output_max = '100' (parley.toml) does not fit: "
            "it must be at least output_capped.",
        ),
        (
            "[tiers.free]\nbudget_gpu_us = 1000000",
            "tiers.free.refill_gpu_us_s = '0' (parley.toml) does not fit: it must be "
            "at least 1 where there is a budget_gpu_us: an empty budget would stay empty.",
        ),
        (
            "[tiers.free]\nrefill_gpu_us_s = 7",
            "tiers.free.refill_gpu_us_s = '7' (parley.toml) does not fit: "
            "it must be 0 without a budget_gpu_us.",
        ),
        (
            "[tiers.free]\nbudget_gpu_us = 10\nrefill_gpu_us_s = 1",
            "tiers.free.budget_gpu_us = '10' (parley.toml) does not fit: it must be "
            "at least 300, what the shortest prompt costs in the pool default.",
        ),
        (
            '[tiers.free]\ndegrade = ["delay"]',
            "tiers.free.degrade = 'delay' (parley.toml) does not fit: "
            "it must be a list of cap, downgrade, defer, shed.",
        ),
        (
            '[models.default]\nmodel = "m"\nfallback = "default"',
            "models.default.fallback = 'default' (parley.toml) does not fit: "
            "it must be another pool that is served (there is none).",
        ),
        (
            "[models.fast]\noutput_gpu_us = 1",
            "models.fast = 'fast' (parley.toml) does not fit: it must be "
            "a pool that is served, which are default, or name its model.",
        ),
        (
            "[models.default]\ncached_gpu_us = 200",
            "models.default.cached_gpu_us = '200' (parley.toml) does not fit: "
            "it must be at most prefill_gpu_us, 100.",
        ),
        (
            '[models]\ndefault = "m"',
            "models.default = 'm' (parley.toml) does not fit: "
            "it must be a table, [models.default].",
        ),
        (
            'model = "m"\n[models.default]\nmodel = "m"',
            "model and [models] in parley.toml both name models: keep the tables alone.",
        ),
        (
            'tier = "free.weight=1"',
            "tier in parley.toml is not a setting (did you mean tiers?).",
        ),
    ],
)
def test_a_bad_table_is_named_with_key_source_and_what_fits(file: str, message: str) -> None:
    with pytest.raises(BadSetting) as caught:
        load({}, {}, tomllib.loads(file))
    assert str(caught.value) == message


def test_a_bad_item_of_a_flag_or_the_environment_names_its_source() -> None:
    with pytest.raises(BadSetting, match=r"tiers\.free\.weight = '0' \(the flag --tier\)"):
        load({"tier": ("free.weight=0",)}, {}, {})
    with pytest.raises(BadSetting, match=r"\(the environment's PARLEY_TIER\).*TIER\.KEY=VALUE"):
        load({}, {"PARLEY_TIER": "weight=3"}, {})


def test_a_reload_reads_the_file_anew_under_the_same_flags(tmp_path: Path) -> None:
    path = tmp_path / "parley.toml"
    path.write_text("port = 9000\n[tiers.free]\nweight = 2\nslots = 1")
    settings = load({"tier": ("free.slots=5",)}, {}, tomllib.loads(path.read_text()), str(path))
    path.write_text("port = 9001\n[tiers.free]\nweight = 3\nslots = 2")
    again = reloaded(settings)
    assert (again.port, again.tiers["free"].weight, again.tiers["free"].slots) == (9001, 3, 5)
    path.write_text("[tiers.free]\nweight = 0")
    with pytest.raises(BadSetting, match="weight"):
        reloaded(settings)
    path.unlink()
    with pytest.raises(BadSetting, match="There is no settings file"):
        reloaded(settings)


def test_the_example_of_the_readme_is_a_settings_file() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    example = readme.split("```toml\n")[1].split("```")[0]
    settings = load({}, {}, tomllib.loads(example))
    assert settings.pools == ("capable", "fast")
    assert settings.tiers["free"].budget == BudgetConfig(size=60_000_000, refill=20_000)
