"""How a check says that it failed."""


class Broken(AssertionError):
    """An invariant does not hold."""


def require(truth: bool, invariant: str, story: str) -> None:
    """Raise `Broken` with the invariant's name unless `truth`."""
    if not truth:
        raise Broken(f"{invariant}: {story}")
