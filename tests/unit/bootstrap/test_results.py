from collections import Counter
from pathlib import Path

from ops.bootstrap.results import Outcome, closing_line, read_junit, table

REPORT = """<testsuites><testsuite>
<testcase classname="a" name="passes"/>
<testcase classname="a" name="fails"><failure message="no"/></testcase>
<testcase classname="a" name="fails"><error message="teardown too"/></testcase>
<testcase classname="a" name="breaks"><error message="setup"/></testcase>
<testcase classname="a" name="needs"><skipped type="pytest.skip" message="no CQL"/></testcase>
<testcase classname="b" name="needs"><skipped type="pytest.skip" message="no CQL"/></testcase>
<testcase time="0.000"/>
<testcase classname="a" name="known"><skipped type="pytest.xfail" message="expected"/></testcase>
</testsuite></testsuites>"""


def test_junit_report_of_every_kind_is_counted_once_each(tmp_path: Path) -> None:
    file = tmp_path / "report.xml"
    file.write_text(REPORT)
    outcome = Outcome("unit")
    read_junit(file, outcome)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (2, 3, 2)
    assert outcome.failures[0].startswith("the test that did not finish")
    assert outcome.failures[1:] == ["a::fails", "a::breaks"]
    assert outcome.could_not_run == Counter({"no CQL": 2})


def test_junit_report_cut_off_fails_its_stage(tmp_path: Path) -> None:
    file = tmp_path / "report.xml"
    file.write_text(REPORT[:100])
    outcome = Outcome("unit")
    read_junit(file, outcome)
    assert outcome.state == "FAILED"


def test_stage_without_tests_is_no_pass() -> None:
    assert Outcome("chaos").state == "empty"
    assert "chaos: no tests there yet" in table([Outcome("chaos")])


def test_stage_that_skipped_everything_is_no_pass() -> None:
    assert Outcome("e2e", skipped=3).state == "skipped"


def test_stage_that_ran_out_of_time_fails_whatever_passed() -> None:
    outcome = Outcome("e2e", passed=5, problem="ran past 360 s")
    assert outcome.state == "FAILED"
    assert closing_line([outcome]) == "5 passed, 1 failed, 0 skipped"


def test_table_names_failures_and_reasons_and_closes_with_the_counts() -> None:
    outcome = Outcome("integration", 1.5, passed=4, failed=1, skipped=2)
    outcome.failures.append("tests.integration::test_it")
    outcome.could_not_run["no Java 17"] = 2
    lines = table([outcome, Outcome("lint", passed=2)]).splitlines()
    assert "  integration: tests.integration::test_it" in lines
    assert "  integration: no Java 17 (2 tests)" in lines
    assert lines[-1] == "6 passed, 1 failed, 2 skipped"
