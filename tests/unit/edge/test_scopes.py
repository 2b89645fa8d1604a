"""What a key may be used for."""

import pytest

from edge.scopes import SCOPES, Scope, allows, scope_of


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/v1/models", "models:read"),
        ("/v1/models/tiny", "models:read"),
        ("/v1/chat/completions", "chat"),
        ("/v1/completions", "chat"),
        ("/v1/responses", "responses"),
        ("/v1/responses/resp_1/cancel", "responses"),
        ("/v1/responsesx", "app"),
        ("/chats", "app"),
        ("/me", "app"),
    ],
)
def test_each_path_needs_its_scope(path: str, scope: Scope) -> None:
    assert scope_of(path) == scope


def test_key_without_scopes_may_do_everything() -> None:
    assert all(allows("", scope) for scope in SCOPES)


def test_key_with_scopes_may_do_no_more() -> None:
    granted = "chat models:read"
    assert [scope for scope in SCOPES if allows(granted, scope)] == ["chat", "models:read"]
