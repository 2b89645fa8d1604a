"""What an API key may be used for. Pure."""

from typing import Literal, get_args

Scope = Literal["chat", "responses", "models:read", "app"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_PREFIXES: tuple[tuple[str, Scope], ...] = (
    ("/v1/models", "models:read"),
    ("/v1/chat/completions", "chat"),
    ("/v1/completions", "chat"),
    ("/v1/embeddings", "chat"),
    ("/v1/responses", "responses"),
)


def scope_of(path: str) -> Scope:
    """Return the scope that a request to this path needs: `chat` for both kinds of
    completions, `app` for all that is not OpenAI's: chats, uploads, usage."""
    for prefix, scope in _PREFIXES:
        if path == prefix or path.startswith(prefix + "/"):
            return scope
    return "app"


def allows(granted: str, scope: Scope) -> bool:
    """Say whether a key's scopes, as they are stored, have this one; '' has all."""
    return not granted or scope in granted.split(" ")
