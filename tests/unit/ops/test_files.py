"""Models, token keys, notices, and where workers go."""

import os
from pathlib import Path

import pytest

from contracts.runs import Sampling
from ops.model_files import SHIPPED, NoModelFiles, find_model
from ops.notify import LINE_MAX, VARIABLE, Notice, Notifier, parse
from ops.token_keys import BadTokenKeys, load_token_keys


def model_at(path: Path, config: str = '{"max_position_embeddings": 64}') -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(config)
    (path / "tokenizer.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"")
    return path


def test_a_model_is_known_by_its_directorys_name(tmp_path: Path) -> None:
    files = find_model(str(model_at(tmp_path / "tiny")))
    assert (files.model_id, files.context_length, files.shipped) == ("tiny", 64, False)


def test_weights_are_asked_for_only_where_they_are_needed(tmp_path: Path) -> None:
    path = model_at(tmp_path / "tiny")
    (path / "model.safetensors").unlink()
    assert find_model(str(path), weights=False).path == path
    with pytest.raises(NoModelFiles, match=r"lacks \*\.safetensors"):
        find_model(str(path))


def test_a_nested_window_is_found_and_a_missing_one_named(tmp_path: Path) -> None:
    nested = model_at(tmp_path / "a", '{"text_config": {"max_position_embeddings": 9}}')
    assert find_model(str(nested)).context_length == 9
    with pytest.raises(NoModelFiles, match="how long the model's window is"):
        find_model(str(model_at(tmp_path / "b", "{}")))
    with pytest.raises(NoModelFiles, match="can't be read"):
        find_model(str(model_at(tmp_path / "c", "{")))


def test_how_tokens_are_drawn_is_as_the_models_makers_advise(tmp_path: Path) -> None:
    path = model_at(tmp_path / "a")
    assert find_model(str(path)).sampling == Sampling(max_tokens=0)
    advice = path / "generation_config.json"
    advice.write_text('{"temperature": 0.2, "top_k": -1, "top_p": null, "max_new_tokens": 9}')
    assert find_model(str(path)).sampling == Sampling(max_tokens=0, temperature=0.2)
    advice.write_text('{"top_p": 1.5}')
    with pytest.raises(NoModelFiles, match=r"generation_config\.json can't be read"):
        find_model(str(path))


def test_a_cached_hugging_face_model_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoModelFiles, match="hf download someone/small"):
        find_model("someone/small")
    folder = tmp_path / "models--someone--small"
    model_at(folder / "snapshots" / "abc")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    assert find_model("someone/small").model_id == "small"


def test_a_shipped_name_wins_over_a_directory_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = sorted(entry.name for entry in SHIPPED.glob("*/"))
    if not shipped:
        pytest.skip("no model ships with this checkout")
    monkeypatch.chdir(tmp_path)
    model_at(tmp_path / shipped[0])
    assert find_model(shipped[0], weights=False).shipped


def test_token_keys_are_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "home" / "token-keys"
    first = load_token_keys(path)
    assert load_token_keys(path) == first
    assert path.stat().st_mode & 0o077 == 0
    assert [entry.name for entry in path.parent.iterdir()] == ["token-keys"]


def test_a_new_line_in_front_signs_and_the_old_one_still_verifies(tmp_path: Path) -> None:
    path = tmp_path / "token-keys"
    (old,) = load_token_keys(path)
    path.write_text(f"new {'ab' * 32}\n" + path.read_text())
    assert [key.key_id for key in load_token_keys(path)] == ["new", old.key_id]


@pytest.mark.parametrize("content", ["", "one\n", "one zz\n", "one abcd\n"])
def test_malformed_token_keys_are_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token-keys"
    path.write_text(content)
    with pytest.raises(BadTokenKeys, match="token-keys"):
        load_token_keys(path)


def test_notices_reach_the_supervisor_in_one_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    monkeypatch.setenv(VARIABLE, str(write))
    notifier = Notifier.from_environment()
    assert VARIABLE not in os.environ
    notifier.progress("loading\nthe model")
    notifier.ready()
    notifier.fault("x" * 10_000)
    os.close(write)
    with os.fdopen(read) as pipe:
        lines = pipe.read().splitlines()
    assert [parse(line) for line in lines[:2]] == [
        Notice("progress", "loading the model"),
        Notice("ready", ""),
    ]
    assert len(lines[2]) == LINE_MAX


def test_a_notifier_without_a_supervisor_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    Notifier.from_environment().ready()


def test_other_lines_are_no_notices() -> None:
    assert parse("hello world") is None
