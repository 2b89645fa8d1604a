import re
from pathlib import Path

import pytest

from ops.bootstrap.install import REQUIREMENTS
from ops.bootstrap.locks import LOCKS

FILES = [REQUIREMENTS / f"{lock.name}.txt" for lock in LOCKS]
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)")


def pins(file: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in file.read_text().splitlines():
        if match := PIN.match(line):
            found.setdefault(match[1], set()).add(match[2])
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_lock_pins_every_package_with_a_hash_and_names_no_address(file: Path) -> None:
    text = file.read_text()
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", text)
    unpinned = [block.split()[0] for block in blocks if block and "--hash=sha256:" not in block]
    assert unpinned == []
    assert re.findall(r"\w+://\S+", text) == []


@pytest.mark.parametrize("engine", ["cpu", "cuda"])
@pytest.mark.parametrize("other", ["test", "bootstrap"])
def test_lock_installed_beside_an_engine_agrees_with_it(engine: str, other: str) -> None:
    mine, theirs = pins(REQUIREMENTS / f"{other}.txt"), pins(REQUIREMENTS / f"{engine}.txt")
    at_odds = {name: mine[name] for name in mine.keys() & theirs if mine[name] != theirs[name]}
    assert at_odds == {}


@pytest.mark.parametrize("package", ["torchvision", "torchaudio", "torchcodec"])
def test_cpu_lock_keeps_out_what_breaks_its_engine(package: str) -> None:
    lines = (REQUIREMENTS / "cpu.txt").read_text().splitlines()
    assert [line for line in lines if line.startswith(f"{package}==")] == [
        line for line in lines if line.startswith(f"{package}==") and "== 'never'" in line
    ]
