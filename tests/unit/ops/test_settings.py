"""Settings: precedence, values, and what a bad one is told."""

import dataclasses
from pathlib import Path

import pytest

from actors.scheduler.config import default_tiers
from ops.embedding_model import embedding_files
from ops.model_files import NoModelFiles
from ops.setting_table import SETTINGS, flags_of
from ops.setting_values import BadSetting
from ops.settings import (
    Settings,
    as_environment,
    as_flags,
    history_url,
    load,
    model_of,
    read_file,
)
from ops.tables import PoolSettings


def test_settings_without_any_source_are_the_defaults() -> None:
    settings = load({}, {}, {})
    assert settings.port == 8000
    assert settings.engine == "vllm"
    assert settings.models == (("default", "parley-small"),)
    assert settings.tiers == default_tiers()
    assert settings.served == {"default": PoolSettings()}
    assert settings.home == Path(".parley").absolute()
    assert history_url(settings) == f"sqlite:{settings.home}/history.db"


def test_a_flag_wins_over_environment_over_file_over_default() -> None:
    file = {"port": 1, "gpus": 2, "engine": "sim"}
    environ = {"PARLEY_PORT": "3", "PARLEY_GPUS": "4"}
    settings = load({"port": "5"}, environ, file)
    assert (settings.port, settings.gpus, settings.engine) == (5, 4, "sim")


def test_a_flag_that_was_not_given_leaves_the_next_source() -> None:
    assert load({"port": None, "model": ()}, {"PARLEY_PORT": "7"}, {}).port == 7


def test_an_empty_environment_variable_counts_as_not_set() -> None:
    assert load({}, {"PARLEY_PORT": ""}, {"port": 9}).port == 9


def test_keys_of_the_file_may_be_written_with_dashes() -> None:
    settings = load({}, {}, {"log-level": "debug", "engine-arg": {"max-model-len": 64}})
    assert settings.log_level == "debug"
    assert settings.engine_args == {"max_model_len": 64}


@pytest.mark.parametrize(
    ("key", "value", "needle"),
    [
        ("port", "0", "a whole number from 1 to 65535"),
        ("port", "http", "a whole number from 1 to 65535"),
        ("gpus", "1.5", "a whole number from 0 to 64"),
        ("engine", "tpu", "one of vllm, sim"),
        ("model", "Fast=x", "[POOL=]NAME_OR_PATH"),
        ("model", "a=x,a=y", "a has two"),
        ("engine_arg", "=3", "NAME=VALUE"),
        ("engine_arg", "{oops", "a JSON object"),
        ("history", "postgres://x", "sqlite:PATH or cql://"),
        ("history", "cql://host", "sqlite:PATH or cql://"),
        ("nats", "localhost:4222", "nats://"),
        ("nats", "nats://h:99999", "nats://"),
        ("allow_guests", "maybe", "yes or no"),
        ("log_level", "loud", "one of debug"),
        ("system_prompt", "  ", "a text that is not empty"),
    ],
)
def test_a_bad_value_is_named_with_key_source_and_what_fits(
    key: str, value: str, needle: str
) -> None:
    with pytest.raises(BadSetting) as caught:
        load({}, {f"PARLEY_{key.upper()}": value}, {})
    message = str(caught.value)
    assert message.startswith(f"{key} = ")
    assert f"the environment's PARLEY_{key.upper()}" in message
    assert needle in message
    assert message.endswith(".")


def test_a_bad_flag_and_a_bad_key_of_the_file_name_their_source() -> None:
    with pytest.raises(BadSetting, match="the flag --port"):
        load({"port": "x"}, {}, {})
    with pytest.raises(BadSetting, match=r"\(conf/parley\.toml\)"):
        load({}, {}, {"port": "x"}, "conf/parley.toml")


def test_an_unknown_key_of_the_file_is_named_with_its_neighbour() -> None:
    with pytest.raises(BadSetting, match=r"prot in parley\.toml .*did you mean port\?"):
        load({}, {}, {"prot": 1})


@pytest.mark.parametrize(
    ("flags", "environ", "file", "source"),
    [
        ({"embedding_model": "x"}, {}, {}, "the flag --embedding-model"),
        ({}, {"PARLEY_EMBEDDING_MODEL": "x"}, {}, "the environment's PARLEY_EMBEDDING_MODEL"),
        ({}, {}, {"embedding-model": "x"}, "parley.toml"),
    ],
)
def test_embedding_model_that_can_not_be_used_is_named_with_its_source(
    flags: dict[str, object], environ: dict[str, str], file: dict[str, object], source: str
) -> None:
    settings = load(flags, environ, file)
    with pytest.raises(NoModelFiles, match="There is no model x") as missing:
        embedding_files(settings, weights=False)
    assert f"embedding_model = 'x' ({source})" in str(missing.value)
    taken = {**flags, "model": ("embeddings=y",)}
    with pytest.raises(BadSetting, match="the pool embeddings of --model called otherwise") as bad:
        load(taken, environ, file)
    assert f"embedding_model = 'x' ({source})" in str(bad.value)


def test_embedding_model_is_off_by_default_and_goes_to_who_needs_it() -> None:
    assert embedding_files(load({}, {}, {}), weights=False) is None
    settings = load({"embedding_model": "parley-small", "embedding_arg": ("a=1",)}, {}, {})
    found = embedding_files(settings, weights=False)
    assert found is not None
    assert found.model_id == "parley-small"
    assert settings.embedding_args == {"a": 1}
    for role in ("edge", "session", "gpu"):
        assert "--embedding-model" in as_flags(settings, role)
    assert "--embedding-model" not in as_flags(settings, "scheduler")


def test_a_password_never_appears_in_an_error() -> None:
    with pytest.raises(BadSetting) as caught:
        load({}, {"PARLEY_NATS": "nats://user:hunter2@host:0"}, {})
    assert "hunter2" not in str(caught.value)


def test_values_of_engine_arguments_are_read_as_json_where_they_are() -> None:
    settings = load({"engine_arg": ("a=1", "b=true", "c=text", 'd="1"', "e-f=[1]")}, {}, {})
    assert settings.engine_args == {"a": 1, "b": True, "c": "text", "d": "1", "e_f": [1]}


def test_model_of_an_unknown_pool_names_the_known_ones() -> None:
    settings = load({"model": ("fast=a", "capable=b")}, {}, {})
    assert model_of(settings, "capable") == "b"
    with pytest.raises(BadSetting, match="fast, capable"):
        model_of(settings, "slow")


def test_a_settings_file_that_is_missing_counts_only_where_it_was_named(tmp_path: Path) -> None:
    assert read_file(tmp_path / "parley.toml", required=False) == {}
    with pytest.raises(BadSetting, match="There is no settings file"):
        read_file(tmp_path / "parley.toml", required=True)


def test_a_settings_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "parley.toml"
    path.write_text("port = = 1")
    with pytest.raises(BadSetting, match="not valid TOML"):
        read_file(path, required=False)


def test_every_setting_is_a_field_and_a_flag_of_some_command() -> None:
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert {setting.field for setting in SETTINGS} == fields - {"tiers", "served", "sources"}
    assert all(setting.roles for setting in SETTINGS)


def test_flags_and_environment_of_a_child_make_the_same_settings_again() -> None:
    given = load(
        {
            "model": ("fast=a", "capable=b/c"),
            "engine_arg": ("x=1", 'y="2"', "z=w"),
            "port": 81,
            "tier": ("free.weight=3", "free.degrade=cap+shed"),
        },
        {"PARLEY_NATS": "nats://a:b@h:1", "PARLEY_HISTORY": "sqlite:/x y/z"},
        {"allow_guests": False},
    )
    words = list(as_flags(given, "up"))
    flags: dict[str, object] = {}
    by_flag = {setting.flag: setting for setting in flags_of("up")}
    for flag, value in zip(words[::2], words[1::2], strict=True):
        setting = by_flag[flag]
        before = flags.get(setting.key, ())
        assert isinstance(before, tuple)
        flags[setting.key] = (*before, value) if setting.many else value
    again = load(flags, as_environment(given), {})
    assert again == given


def test_addresses_that_may_hold_a_password_are_not_on_the_command_line() -> None:
    given = load({"nats": "nats://a:secret@h:1", "history": "cql://u:secret@h/k"}, {}, {})
    for role in ("up", "edge", "session", "scheduler", "gpu", "summarizer"):
        assert "secret" not in " ".join(as_flags(given, role))
