import sys
from pathlib import Path

import pytest

from ops.bootstrap import testrun
from ops.bootstrap.results import Outcome
from ops.bootstrap.steps import BootstrapError
from ops.bootstrap.testrun import Stage, attempt, run_checks, run_suite

SUITE = """
import time
import pytest

def test_good(): pass
def test_unable(): pytest.skip("no such server here")
{last}
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with nothing in it, in which the stages run."""
    monkeypatch.setattr(testrun, "ROOT", tmp_path)
    monkeypatch.setattr(testrun, "REPORTS", tmp_path)
    (tmp_path / "suite").mkdir()
    return tmp_path


def suite(checkout: Path, last: str = "", *, limit_s: int = 60) -> Outcome:
    (checkout / "suite" / "test_it.py").write_text(SUITE.format(last=last))
    outcome = Outcome("unit")
    run_suite(Stage("unit", limit_s, suite="suite"), outcome)
    return outcome


def test_suite_that_passes_reports_its_skips_with_reasons(checkout: Path) -> None:
    outcome = suite(checkout)
    assert (outcome.state, outcome.passed, outcome.skipped) == ("ok", 1, 1)
    assert dict(outcome.could_not_run) == {"no such server here": 1}


def test_suite_with_a_failure_fails_and_names_it(checkout: Path) -> None:
    outcome = suite(checkout, "def test_bad(): raise ValueError")
    assert (outcome.state, outcome.failed) == ("FAILED", 1)
    assert outcome.failures == ["suite.test_it::test_bad"]


def test_suite_past_its_limit_is_interrupted_and_fails(checkout: Path) -> None:
    outcome = suite(checkout, "def test_late(): time.sleep(300)", limit_s=2)
    assert (outcome.state, outcome.problem) == ("FAILED", "ran past 2 s")


def test_suite_that_cannot_be_collected_fails(checkout: Path) -> None:
    assert suite(checkout, "import no_such_module").state == "FAILED"


FIRST_TIME_BAD = """
from pathlib import Path

def test_chance():
    seen = Path(__file__).with_name("seen")
    again, _ = seen.exists(), seen.touch()
    assert again
"""


def test_suite_that_would_pass_a_second_time_fails(checkout: Path) -> None:
    outcome = suite(checkout, FIRST_TIME_BAD)
    assert (outcome.state, outcome.failures) == ("FAILED", ["suite.test_it::test_chance"])


@pytest.mark.usefixtures("checkout")
def test_suite_without_tests_is_empty() -> None:
    outcome = Outcome("chaos")
    run_suite(Stage("chaos", 60, suite="suite"), outcome)
    assert outcome.state == "empty"


@pytest.mark.usefixtures("checkout")
def test_checks_are_counted_each_and_a_failed_one_is_named() -> None:
    outcome = Outcome("lint")
    good, bad = (sys.executable, "-c", "pass"), (sys.executable, "-c", "exit(3)")
    run_checks(Stage("lint", 60, (good, bad, good)), outcome)
    assert (outcome.passed, outcome.failed) == (2, 1)
    assert outcome.failures == [f"{' '.join(bad)} (status 3)"]


def test_program_that_does_not_exist_fails_as_a_shell_says_it(checkout: Path) -> None:
    assert attempt(("no-such-program",), checkout, 5) == testrun.CANNOT_START


def test_stage_of_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(BootstrapError, match=r"no stage is named units; there are lint, types"):
        testrun.main(["units"])
