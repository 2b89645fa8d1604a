"""What a stage of the tests came to: counts, failures, and what could not run and why."""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Outcome:
    """One stage's result. `problem` says in a few words why the stage as a whole is not good."""

    stage: str
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    problem: str = ""
    note: str = ""
    failures: list[str] = field(default_factory=list)
    could_not_run: Counter[str] = field(default_factory=Counter)

    @property
    def state(self) -> str:
        """One of ok, FAILED, empty (nothing to run there yet) and skipped (nothing could run)."""
        if self.failed or self.problem:
            return "FAILED"
        if self.passed:
            return "ok"
        return "skipped" if self.skipped else "empty"


def read_junit(file: Path, outcome: Outcome) -> None:
    """Adds the counts of a JUnit report, and its failures' names and its skips' reasons.

    A test that fails and whose teardown fails too is one failure. An expected failure counts as
    passed: the project runs strict, so an unexpected pass is reported as a failure. The test in
    which pytest was interrupted stands in the report without a name: it is a failure.
    """
    try:
        root = ET.parse(file).getroot()  # noqa: S314 - written by our own run
    except ET.ParseError:
        outcome.problem = "its report was cut off"
        return
    cases: dict[str, list[ET.Element]] = {}
    for case in root.iter("testcase"):
        if "name" not in case.attrib:
            outcome.failed += 1
            outcome.failures.append("the test that did not finish (the output names its place)")
            continue
        name = f"{case.get('classname', '')}::{case.get('name')}"
        cases.setdefault(name, []).extend(case)
    for name, children in cases.items():
        kinds = {child.tag for child in children}
        skips = [child for child in children if child.tag == "skipped"]
        if kinds & {"failure", "error"}:
            outcome.failed += 1
            outcome.failures.append(name)
        elif skips and skips[0].get("type") != "pytest.xfail":
            outcome.skipped += 1
            outcome.could_not_run[skips[0].get("message") or "no reason given"] += 1
        else:
            outcome.passed += 1


def table(outcomes: Sequence[Outcome]) -> str:
    """The closing table: a line a stage, the failures, what could not run, and the plain counts."""
    lines = [f"{'stage':<12}{'result':<10}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}"]
    for o in outcomes:
        row = f"{o.stage:<12}{o.state:<10}{o.passed:>8}{o.failed:>8}{o.skipped:>9}{o.seconds:>9.1f}"
        remarks = "; ".join(text for text in (o.problem, o.note) if text)
        lines.append(f"{row}  {remarks}".rstrip())
    failures = [f"  {o.stage}: {name}" for o in outcomes for name in o.failures]
    if failures:
        lines += ["", "failed:", *failures]
    unable = [
        f"  {o.stage}: {reason} ({count} {'test' if count == 1 else 'tests'})"
        for o in outcomes
        for reason, count in sorted(o.could_not_run.items())
    ]
    unable += [f"  {o.stage}: no tests there yet" for o in outcomes if o.state == "empty"]
    lines += ["", "could not run:", *(unable or ["  nothing; everything ran"]), ""]
    lines.append(closing_line(outcomes))
    return "\n".join(lines)


def closing_line(outcomes: Sequence[Outcome]) -> str:
    """`N passed, N failed, N skipped`; a stage that failed without a failed test counts as one."""
    passed = sum(o.passed for o in outcomes)
    failed = sum(max(o.failed, 1 if o.problem else 0) for o in outcomes)
    skipped = sum(o.skipped for o in outcomes)
    return f"{passed} passed, {failed} failed, {skipped} skipped"
