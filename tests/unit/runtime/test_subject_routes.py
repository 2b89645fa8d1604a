import pytest

from actors.runtime.subject_routes import matches, rewrite


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*.c", "a.b.c", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("a.b", "a", False),
        ("*.*", "a.b", True),
    ],
)
def test_matches_as_the_server_does(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected


def test_rewrite_fills_in_the_wildcards() -> None:
    assert rewrite("tok.3.*.d", "live.{{wildcard(1)}}", "tok.3.run_x.d") == "live.run_x"
    assert rewrite("*.*", "{{wildcard(2)}}.{{wildcard(1)}}", "a.b") == "b.a"
