import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from ops.bootstrap import install, prerequisites
from ops.bootstrap.prerequisites import (
    address_of,
    client_environment,
    engine_flavour,
    lacks_engine_library,
    node_program,
    require_disk,
    require_port,
)
from ops.bootstrap.steps import BootstrapError

SCRIPT = Path(__file__).parents[3] / "ops" / "bootstrap" / "python.sh"


def program(folder: Path, name: str, lines: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{lines}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("args", "env", "expected"),
    [
        ([], {}, ("127.0.0.1", 8000)),
        (["--port", "9000"], {}, ("127.0.0.1", 9000)),
        (["--gpus", "2", "--port=9001"], {"PARLEY_PORT": "7"}, ("127.0.0.1", 9001)),
        ([], {"PARLEY_PORT": "9002", "PARLEY_HOST": "::1"}, ("::1", 9002)),
    ],
)
def test_address_from_flag_or_environment_is_found(
    args: list[str], env: dict[str, str], expected: tuple[str, int], tmp_path: Path
) -> None:
    assert address_of(args, env, tmp_path) == expected


def test_address_from_file_gives_way_to_the_environment(tmp_path: Path) -> None:
    (tmp_path / "parley.toml").write_text("port = 9100\n")
    assert address_of([], {}, tmp_path) == ("127.0.0.1", 9100)
    assert address_of([], {"PARLEY_PORT": "9101"}, tmp_path) == ("127.0.0.1", 9101)


@pytest.mark.parametrize("port", ["http", "0", "-1", "70000", "8000.0"])
def test_port_that_is_none_is_refused_by_name(port: str, tmp_path: Path) -> None:
    with pytest.raises(BootstrapError, match="is no port"):
        address_of(["--port", port], {}, tmp_path)


def test_port_taken_is_named_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BootstrapError, match=rf"port {port} .*make run ARGS="):
            require_port("127.0.0.1", port)
    require_port("127.0.0.1", port)


def test_disk_too_small_is_named_with_the_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(BootstrapError, match=r"needs 9 GiB .* 1\.0 GiB free"):
        require_disk(tmp_path, "cpu")


@pytest.mark.parametrize(
    ("version", "fits"),
    [("v18.20.4", False), ("v20.18.0", False), ("v20.19.0", True), ("v24.1.0", True)],
)
def test_node_of_a_version_is_taken_or_left(
    version: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "node", f"echo {version}")
    program(tmp_path, "npm", "")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin:/bin")
    assert node_program() == (tmp_path / "node" if fits else None)


@pytest.mark.parametrize(
    ("answer", "flavour"),
    [
        ("echo 'GPU 0: NVIDIA H100 (UUID: GPU-1)'", "cuda"),
        ("echo 'No devices found.'", "cpu"),
        ("echo 'NVIDIA-SMI has failed' >&2; exit 9", "cpu"),
    ],
)
def test_engine_follows_what_the_driver_lists(
    answer: str, flavour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    program(tmp_path, "nvidia-smi", answer)
    assert engine_flavour() == flavour


def test_environment_of_another_engine_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "parley-engine"
    mark.write_text("cpu")
    monkeypatch.setattr(install, "FLAVOUR_MARK", mark)
    assert not install.environment_fits("cuda")


def test_engine_library_missing_is_named_to_who_cannot_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prerequisites, "ENGINE_LIBRARY", "libabsent.so.1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BootstrapError, match=r"libabsent.so.1: .*sudo apt-get install libnuma1"):
        lacks_engine_library()


def test_client_environment_hands_pips_mirror_to_uv() -> None:
    env = client_environment({"PIP_INDEX_URL": "http://mirror/simple", "VIRTUAL_ENV": "/x"})
    assert env["UV_DEFAULT_INDEX"] == "http://mirror/simple"
    assert "VIRTUAL_ENV" not in env


def test_old_python_is_refused_in_one_sentence(tmp_path: Path) -> None:
    old = 'case "$2" in *print*) echo 3.9.2;; *) exit 1;; esac'
    program(tmp_path, "python3", old)
    answer = subprocess.run(
        ["/bin/sh", SCRIPT, "-c", "pass"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert "needs Python 3.11 to 3.14 (python3 is version 3.9.2)" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_python_named_by_hand_is_taken(tmp_path: Path) -> None:
    program(tmp_path, "mine", "echo mine ran")
    answer = subprocess.run(
        ["/bin/sh", SCRIPT, "-c", "pass"],
        env={"PATH": os.defpath, "PYTHON": str(tmp_path / "mine")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "mine ran"
