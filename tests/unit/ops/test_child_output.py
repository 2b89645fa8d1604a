"""The log of a child: as it came, in two files at most, and never a reason to fail."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ops.supervision.output import ChildOutput, Screen


def logged(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


@pytest.fixture
def output(tmp_path: Path) -> Iterator[ChildOutput]:
    with closing(ChildOutput("edge", tmp_path, Screen())) as output:
        yield output


def test_records_are_kept_and_other_lines_wrapped(output: ChildOutput) -> None:
    output.line('{"event": "ready"}')
    output.line("Segmentation fault")
    record, wrapped = logged(output.path)
    assert record == {"event": "ready"}
    assert (wrapped["role"], wrapped["event"]) == ("edge", "Segmentation fault")
    assert output.last_words == "Segmentation fault"


def test_full_log_is_begun_anew_and_the_one_before_kept(
    output: ChildOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.supervision.output.LOG_BYTES_MAX", 40)
    for number in range(3):
        output.line(json.dumps({"event": "x" * 20, "number": number}))
    assert [record["number"] for record in logged(output.path)] == [2]
    assert [record["number"] for record in logged(output.path.with_suffix(".log.1"))] == [1]


def test_full_disk_costs_lines_which_the_log_says_once_there_is_room(tmp_path: Path) -> None:
    room = tmp_path / "room.log"
    (tmp_path / "edge.log").symlink_to("/dev/full")
    with closing(ChildOutput("edge", tmp_path, Screen())) as output, room.open("wb") as there:
        for _ in range(2):
            output.line('{"event": "lost"}')
        os.dup2(there.fileno(), output._file.fileno())
        for _ in range(2):
            output.line('{"event": "kept"}')
    assert [record["event"] for record in logged(room)] == ["lines lost: 2", "kept", "kept"]
