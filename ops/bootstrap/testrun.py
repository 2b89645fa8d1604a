"""`make test`: every stage that this machine can run, and an account of what it could not.

Each stage is a list of commands with a hard limit. Stages go on after one fails.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.bootstrap import install
from ops.bootstrap.processes import adopt_orphans, end_descendants
from ops.bootstrap.results import Outcome, read_junit, table
from ops.bootstrap.steps import BootstrapError, Plan

ROOT = install.ROOT
BIN = install.VENV / "bin"
REPORTS = ROOT / ".cache" / "test"
FIRST_PARTY = ("actors", "contracts", "edge", "ops", "tests")
INTERRUPT_S = 25.0
BROWSER_PACKAGES = ("chromium", "fonts-dejavu-core")
CANNOT_START = 127  # as a shell says it
NO_TESTS_COLLECTED = 5  # pytest's exit status


@dataclass(frozen=True)
class Stage:
    """Commands, each a check of its own; or a directory of pytest suites. Limited as a whole."""

    name: str
    limit_s: int
    commands: tuple[tuple[str, ...], ...] = ()
    suite: str = ""
    # How pytest spreads the tests over processes; in one if empty.
    spread: tuple[str, ...] = ()


_ALL_CORES = ("--numprocesses", "logical")
# Mostly waits, in real time: some files at once, each file and each costly fixture in one process.
_FEW = ("--numprocesses", "3", "--dist", "loadscope")
STAGES = (
    Stage("lint", 60, (("ruff", "check", "."), ("ruff", "format", "--check", "."))),
    Stage("types", 300, (("mypy",),)),
    Stage("layering", 60, (("lint-imports", "--no-logo"),)),
    Stage("web", 240, (("python", "-m", "ops.bootstrap", "page"), ("npm", "test"))),
    Stage("unit", 360, suite="tests/unit", spread=_ALL_CORES),
    Stage("property", 240, suite="tests/property", spread=_ALL_CORES),
    Stage("simulation", 360, suite="tests/simulation", spread=_ALL_CORES),
    Stage("integration", 1200, suite="tests/integration", spread=_FEW),
    Stage("chaos", 900, suite="tests/chaos"),
    Stage("e2e", 600, suite="tests/e2e"),
)


def main(args: Sequence[str]) -> int:
    """Runs the stages named in `args`, or all, and returns 0 if none failed."""
    known = {stage.name: stage for stage in STAGES}
    unknown = [name for name in args if name not in known]
    if unknown:
        raise BootstrapError(
            f"no stage is named {', '.join(unknown)}; there are {', '.join(known)}."
        )
    chosen = [known[name] for name in args] if args else list(STAGES)
    heading("installation")
    install.perform(test=True)
    adopt_orphans()
    REPORTS.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, stop)
    # Ignored where a shell started this in the background, and then by all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    outcomes = []
    try:
        for stage in chosen:
            heading(stage.name)
            outcome = run_stage(stage)
            outcomes.append(outcome)
            print(f"-- {stage.name}: {outcome.state} in {outcome.seconds:.1f} s", flush=True)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_descendants()
    heading("summary")
    print(table(outcomes), flush=True)
    return 1 if any(outcome.state == "FAILED" for outcome in outcomes) else 0


def stop(number: int, _frame: object) -> None:
    """Leaves by way of the cleaning up, which a second signal (make sends its own) can't cut."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def heading(text: str) -> None:
    """Prints a stage's heading."""
    print(f"\n==== {text} {'=' * (74 - len(text))}", flush=True)


def run_stage(stage: Stage) -> Outcome:
    """Runs one stage to its end or its limit and takes down what it left running."""
    outcome = Outcome(stage.name)
    began = time.monotonic()
    if stage.name == "e2e":
        outcome.note = provide_browser()
    if stage.suite:
        run_suite(stage, outcome)
    else:
        run_checks(stage, outcome)
    left = end_descendants()
    if left:
        names = ", ".join(sorted(set(left)))
        outcome.note = f"{outcome.note}; " * bool(outcome.note) + f"left running, ended: {names}"
    outcome.seconds = time.monotonic() - began
    return outcome


def run_checks(stage: Stage, outcome: Outcome) -> None:
    """Runs the stage's commands; each counts as one check, or as the tests that it reports."""
    deadline = time.monotonic() + stage.limit_s
    report = REPORTS / f"{stage.name}.xml"
    report.unlink(missing_ok=True)
    for command in stage.commands:
        left_s = deadline - time.monotonic()
        if command[0] == "npm":
            status = attempt(command, install.WEB, left_s, NODE_OPTIONS=node_reporters(report))
        else:
            status = attempt(command, ROOT, left_s)
        failed_before = outcome.failed
        if report.is_file():
            read_junit(report, outcome)
            report.unlink()
        elif status == 0:
            outcome.passed += 1
        if status == 0 or outcome.failed > failed_before:
            continue
        outcome.failed += 1
        ended = "ran past the stage's limit" if status is None else f"status {status}"
        outcome.failures.append(f"{' '.join(command)} ({ended})")


def run_suite(stage: Stage, outcome: Outcome) -> None:
    """Runs one directory of pytest suites and adds what its report says to `outcome`. Nothing
    is tried again: a test that fails now and then has found something."""
    folder = ROOT / stage.suite
    if not any(folder.rglob("test_*.py")):
        print(f"{stage.suite} has no tests yet")
        return
    report = REPORTS / f"{stage.name}.xml"
    report.unlink(missing_ok=True)
    usual = ("-q", "-rs", "--continue-on-collection-errors", f"--junitxml={report}")
    status = attempt(("pytest", *usual, *stage.spread, stage.suite), ROOT, stage.limit_s)
    if report.is_file():
        read_junit(report, outcome)
    if status is None:
        outcome.problem = f"ran past {stage.limit_s} s"
    elif status not in (0, NO_TESTS_COLLECTED) and not outcome.failed:
        outcome.problem = f"pytest ended with status {status}"


def node_reporters(report: Path) -> str:
    """Node's options for results on the terminal and, as JUnit, in `report`."""
    return (
        "--test-reporter=spec --test-reporter-destination=stdout "
        f"--test-reporter=junit --test-reporter-destination={report}"
    )


def attempt(command: Sequence[str], folder: Path, limit_s: float, **extra: str) -> int | None:
    """Runs a command and returns its status, or None where it ran past its limit.

    At the limit it is first interrupted, so that pytest still writes its report.
    """
    print(f"$ {' '.join(command)}", flush=True)
    # A process group of its own, not a session: the kernel schedules sessions as groups, and an
    # engine in another session than its client answers late.
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment() | extra,
            stdin=subprocess.DEVNULL,
            process_group=0,
        )
    except OSError as error:
        print(f"{command[0]} does not start in {folder}: {error}", flush=True)
        return CANNOT_START
    try:
        return process.wait(timeout=max(limit_s, 1.0))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(timeout=INTERRUPT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return None


def environment() -> dict[str, str]:
    """The stages' environment: our programs first on the PATH, no telemetry, no model downloads."""
    env = install.node_environment()
    env["PATH"] = f"{BIN}{os.pathsep}{env.get('PATH', '')}"
    env |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    return env


def provide_browser() -> str:
    """Installs Debian's Chromium where there is none and this is root; returns a remark or ''."""
    if any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return ""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return "no Chromium here, and only root can install one (apt-get install chromium)"
    try:
        Plan(ROOT, [install.system_packages_step(*BROWSER_PACKAGES)]).perform()
    except BootstrapError as error:
        return f"not installed: {str(error).splitlines()[0]}"
    return ""
