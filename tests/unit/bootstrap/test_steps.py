import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.bootstrap.steps import (
    BootstrapError,
    Command,
    Plan,
    Step,
    diagnose,
    digest_of,
    digest_of_files,
)

Made = list[str]


def writing(name: str, made: Made, output: Path) -> Callable[[Command], str]:
    def action(_command: Command) -> str:
        made.append(name)
        output.write_text(name)
        return ""

    return action


def chain(root: Path, made: Made, *, first_digest: str = "1") -> Plan:
    first, second = root / "first", root / "second"
    return Plan(
        root,
        [
            Step("second", writing("second", made, second), "2", (second,), needs=("first",)),
            Step("first", writing("first", made, first), first_digest, (first,)),
        ],
    )


def test_plan_performs_needs_first_and_skips_what_is_done(tmp_path: Path) -> None:
    made: Made = []
    chain(tmp_path, made).perform()
    assert made == ["first", "second"]
    chain(tmp_path, made).perform()
    assert made == ["first", "second"]


def test_plan_with_changed_input_performs_all_that_depends_on_it(tmp_path: Path) -> None:
    made: Made = []
    chain(tmp_path, made).perform()
    chain(tmp_path, made, first_digest="other").perform()
    assert made == ["first", "second"] * 2


def test_plan_with_output_removed_performs_its_step_and_those_after(tmp_path: Path) -> None:
    made: Made = []
    chain(tmp_path, made).perform()
    (tmp_path / "first").unlink()
    chain(tmp_path, made).perform()
    assert made == ["first", "second"] * 2


def test_plan_whose_step_fails_names_it_and_performs_it_again(tmp_path: Path) -> None:
    def fails(command: Command) -> str:
        command([sys.executable, "-c", "print('boom'); raise SystemExit(3)"], cwd=tmp_path)
        return ""

    made: Made = []
    after = Step("after", writing("after", made, tmp_path / "x"), "2", (), needs=("web",))
    for _ in range(2):
        with pytest.raises(BootstrapError, match=r"(?s)web: .*status 3.*boom"):
            Plan(tmp_path, [Step("web", fails, "1", ()), after]).perform()
    assert made == []


def test_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError, match="no-such-program does not start"):
        Command(tmp_path / "log")(["no-such-program"], cwd=tmp_path)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("error: Hash mismatch for `torch==2.13.0`", "not the one that was pinned"),
        ("npm error code EINTEGRITY", "not the one that was pinned"),
        ("Temporary failure in name resolution", "cannot be reached"),
        ("npm error code ENOTFOUND", "cannot be reached"),
        ("client error (Connect): dns error: failed to lookup", "cannot be reached"),
    ],
)
def test_output_of_a_known_failure_is_explained(output: str, sentence: str) -> None:
    assert sentence in (diagnose(output) or "")


def test_output_of_an_unknown_failure_is_not_explained() -> None:
    assert diagnose("SyntaxError: invalid syntax") is None


def test_digest_keeps_its_parts_apart() -> None:
    assert digest_of("ab", "c") != digest_of("a", "bc")


def test_digest_of_files_changes_with_name_and_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    one = digest_of_files([tmp_path / "a"], tmp_path)
    (tmp_path / "a").write_text("2")
    two = digest_of_files([tmp_path / "a"], tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({one, two, digest_of_files([tmp_path / "b"], tmp_path)}) == 3
