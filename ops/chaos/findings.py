"""What a chaos run found: its verdict, JSON and Markdown."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ops.chaos.campaign import Tally
from ops.chaos.faults import Fault
from ops.chaos.figures import quantile
from ops.chaos.soak import Soaked
from ops.chaos.storms import Storm

COMPLETED_LEAST = 0.999
_CANCELLED = {"run.cancelled", "run.completed"}


@dataclasses.dataclass
class Findings:
    """`title` says how it was run, `not_run` what could not be and why; the rest is filled in.
    `broken` are stacks that did not start, or end, in order."""

    title: str
    not_run: Sequence[str] = ()
    tallies: dict[Fault, Tally] = dataclasses.field(default_factory=dict)
    storm: Storm | None = None
    cancels: Storm | None = None
    soak: Soaked | None = None
    broken: list[str] = dataclasses.field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether all was as it must be."""
        storm, cancels = self.storm, self.cancels
        return (
            not self.broken
            and all(tally.clean for tally in self.tallies.values())
            and (storm is None or storm.completed >= COMPLETED_LEAST)
            and (cancels is None or stopped(cancels))
        )

    def write(self, folder: Path, facts: Mapping[str, object]) -> None:
        """Write `campaign.json`, which holds the facts too, and `campaign.md`."""
        document: dict[str, Any] = {**facts, "not_run": list(self.not_run)}
        if self.tallies:
            document["faults"] = {str(f): dataclasses.asdict(t) for f, t in self.tallies.items()}
        for name, found in (("storm", self.storm), ("cancels", self.cancels), ("soak", self.soak)):
            if found is not None:
                document[name] = dataclasses.asdict(found)
        document["broken"] = self.broken
        document["good"] = self.good
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "campaign.json").write_text(json.dumps(document, indent=2) + "\n")
        (folder / "campaign.md").write_text(self.markdown())

    def markdown(self) -> str:
        """Return everything for people."""
        parts = [self.title]
        if self.tallies:
            parts.append(table(self.tallies))
        if self.storm is not None:
            share = f"; completed {100 * self.storm.completed:.2f} %"
            parts.append(_told("Kill storm", self.storm) + share)
        if self.cancels is not None:
            parts.append(_told("Cancel storm", self.cancels) + _aftermath(self.cancels))
        if self.soak is not None:
            parts.append(self.soak.report().rstrip())
        parts += [f"Not run here: {what}" for what in self.not_run]
        parts += [f"BROKEN: {what}" for what in self.broken]
        return "\n\n".join(parts) + "\n"


def stopped(storm: Storm) -> bool:
    """Whether every answer of a storm of cancels ended once, by its cancel or just before, and
    nothing is left of any."""
    return set(storm.endings) <= _CANCELLED and storm.idle and storm.balanced


def table(tallies: dict[Fault, Tally]) -> str:
    """Return the campaign's table in Markdown. A gap is the longest silence in an answer that was
    being written; "next" is the time to first text of a prompt sent while the fault lasted."""
    lines = [
        "| Fault | rounds | answers | exact | differing | lost | endless | ended twice "
        "| gap p50 ms | p99 | max | next p50 ms | p99 | max |",
        "|---|" + 13 * "---:|",
    ]
    for fault, tally in sorted(tallies.items(), key=lambda item: str(item[0])):
        gaps, nexts = tally.gaps_ms or [0], tally.next_ms or [0]
        cells = (
            tally.rounds, tally.answers, tally.exact, tally.differing, tally.lost, tally.endless,
            tally.doubled, quantile(gaps, 0.5), quantile(gaps, 0.99), max(gaps),
            quantile(nexts, 0.5), quantile(nexts, 0.99), max(nexts),
        )  # fmt: skip
        lines.append(f"| {fault} | " + " | ".join(map(str, cells)) + " |")
    total = sum(tally.rounds for tally in tallies.values())
    return "\n".join([*lines, f"\n{total} faults"])


def _told(name: str, storm: Storm) -> str:
    endings = ", ".join(f"{count} {end}" for end, count in sorted(storm.endings.items()))
    return (
        f"{name}: {storm.kills} kills, {storm.accepted} accepted ({storm.refused} refused), "
        f"{endings}"
    )


def _aftermath(storm: Storm) -> str:
    left = "the engines idle, their KV space free" if storm.idle else "ENGINES STILL AT WORK"
    found = storm.reckoning
    if found is None:
        return f"; {left}"
    balance = "balanced" if storm.balanced else "NOT BALANCED"
    return (
        f"; afterwards {left}, the budget {balance} ({found.charged} charged, "
        f"{found.delivered} delivered, micro-GPU-seconds)"
    )
