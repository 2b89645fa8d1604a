"""What `parley chat` writes of an answer's events."""

import pytest

from ops.cli.chat import _Shown


def shown(capsys: pytest.CaptureFixture[str], *events: tuple[str, str]) -> str:
    page = _Shown()
    for kind, text in events:
        page.event(kind, {"delta" if kind == "message.delta" else "text": text})
    return capsys.readouterr().out


def test_snapshot_that_goes_on_adds_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    events = (("message.delta", "Hel"), ("message.snapshot", "Hello"), ("message.delta", "!"))
    assert shown(capsys, *events) == "Hello!"


def test_snapshot_of_an_answer_begun_anew_is_told_below(
    capsys: pytest.CaptureFixture[str],
) -> None:
    events = (
        ("message.delta", "Hello wor"),
        ("message.snapshot", ""),
        ("message.delta", "Hi"),
        ("message.snapshot", "Hi there"),
    )
    assert shown(capsys, *events) == "Hello wor\nHi there"
