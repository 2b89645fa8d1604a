"""What the documents name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_FILE = re.compile(r"`((?:actors|contracts|edge|ops|tests)/[\w./-]+\.\w+)`")


def test_architecture_names_files_that_exist() -> None:
    named = _FILE.findall((ROOT / "ARCHITECTURE.md").read_text())
    assert len(named) > 40
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("folder", ["actors", "edge", "contracts", "ops", "tests"])
def test_architecture_names_every_room(folder: str) -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    rooms = sorted(p.parent.name for p in (ROOT / "actors").glob("*/__init__.py"))
    wanted = [f"actors/{room}/" for room in rooms] if folder == "actors" else [f"{folder}/"]
    assert [room for room in wanted if room not in page] == []


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "ops" / "decisions"
    index = (folder / "README.md").read_text()
    records = sorted(p.name for p in folder.glob("0*.md"))
    assert [name for name in records if f"]({name})" not in index] == []
