"""The folder of an engine's sockets."""

import os
from pathlib import Path

import pytest

from actors.gpu.engine_folder import EngineFolder

VARIABLE = "VLLM_RPC_BASE_PATH"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_folder_is_for_its_user_alone_and_goes_with_all_that_is_in_it(temporary: Path) -> None:
    folder = EngineFolder()
    assert folder.path == folder.path
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.path / "socket").touch()
    folder.remove()
    folder.remove()
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("before", [None, "/elsewhere"])
def test_engine_is_told_of_it_while_it_is_made(
    monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if before is not None:
        monkeypatch.setenv(VARIABLE, before)
    folder = EngineFolder()
    with folder.of_sockets():
        assert os.environ[VARIABLE] == str(folder.path)
    assert os.environ.get(VARIABLE) == before


def test_folder_of_a_killed_process_is_removed_by_the_next(temporary: Path) -> None:
    numbers = (2**30, 2**30 + 1, os.getpid())
    gone, young, alive = (temporary / f"parley-engine-{number}-x" for number in numbers)
    for folder in (gone, young, alive):
        folder.mkdir()
    for folder in (gone, alive):
        os.utime(folder, (1.0, 1.0))
    assert EngineFolder().path.exists()
    assert not gone.exists()
    assert young.exists() and alive.exists()
