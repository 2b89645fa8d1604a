"""The figures of a chaos run: a line as each is taken, JSON and Markdown at the end."""

import json
import math
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "chaos"


@dataclass(frozen=True)
class Figure:
    """One measured value in milliseconds: which failure, what was measured, in which round."""

    failure: str
    measure: str
    round: int
    value_ms: int


class Report:
    """Collects figures. No test fails by one: they are told, with the machine that gave them."""

    def __init__(self, rounds: int, seed: int) -> None:
        self._rounds = rounds
        self._seed = seed
        self._began_s = time.monotonic()
        self._figures: list[Figure] = []

    def add(self, failure: str, measure: str, value_ms: int, round_: int = 1) -> None:
        """Take a figure, and say it."""
        self._figures.append(Figure(failure, measure, round_, value_ms))
        self.note(f"{failure}, round {round_}: {measure} {value_ms} ms")

    def note(self, text: str) -> None:
        """Say a line of progress."""
        passed = time.monotonic() - self._began_s
        sys.stdout.write(f"[{passed:6.0f} s] {text}\n")
        sys.stdout.flush()

    def write(self, folder: Path = FOLDER) -> None:
        """Write `report.json` and `report.md`, if anything was measured."""
        if not self._figures:
            return
        folder.mkdir(parents=True, exist_ok=True)
        facts = {
            "rounds": self._rounds,
            "seed": self._seed,
            "seconds": round(time.monotonic() - self._began_s),
            "cores": len(os.sched_getaffinity(0)),
            "machine": platform.machine(),
            "load": os.getloadavg(),
        }
        document = {**facts, "figures": [asdict(figure) for figure in self._figures]}
        (folder / "report.json").write_text(json.dumps(document, indent=2) + "\n")
        (folder / "report.md").write_text(self.markdown())

    def markdown(self) -> str:
        """Return a table of all figures."""
        lines = [
            "| Failure | Measure | n | p50 ms | p99 ms | largest ms |",
            "|---|---|---:|---:|---:|---:|",
        ]
        groups: dict[tuple[str, str], list[int]] = {}
        for figure in self._figures:
            groups.setdefault((figure.failure, figure.measure), []).append(figure.value_ms)
        for (failure, measure), values in groups.items():
            row = (len(values), quantile(values, 0.5), quantile(values, 0.99), max(values))
            lines.append(f"| {failure} | {measure} | " + " | ".join(map(str, row)) + " |")
        return "\n".join(lines) + "\n"


def quantile(values: Sequence[int], share: float) -> int:
    """Return the smallest value that at least `share` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
