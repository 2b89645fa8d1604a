"""Subject patterns as the NATS server understands them."""

from functools import lru_cache


@lru_cache(maxsize=16_384)
def matches(pattern: str, subject: str) -> bool:
    """Say whether `subject` falls under `pattern` (`*` one token, a final `>` the rest)."""
    if pattern == subject:
        return True
    wanted = _parts(pattern)
    given = subject.split(".")
    for index, part in enumerate(wanted):
        if part == ">":
            return len(given) > index
        if index >= len(given) or part not in ("*", given[index]):
            return False
    return len(given) == len(wanted)


@lru_cache(maxsize=4_096)
def _parts(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.split("."))


def rewrite(source: str, destination: str, subject: str) -> str:
    """Return where a republish from `source` to `destination` sends `subject`.

    `{{wildcard(n)}}` in `destination` stands for the n-th `*` of `source`, from 1.
    """
    wild = [
        given
        for wanted, given in zip(source.split("."), subject.split("."), strict=False)
        if wanted == "*"
    ]
    for number, part in enumerate(wild, start=1):
        destination = destination.replace(f"{{{{wildcard({number})}}}}", part)
    return destination
