"""Makes the story of a failure as short as it goes: leaves out one part after the other, and
keeps what still fails in the same way (delta debugging, Zeller and Hildebrandt, 2002)."""

from tests.simulation.scenario import play
from tests.simulation.story import Story, shorter

TRIES = 400


def failure(error: BaseException) -> str:
    """Return what failed, in one line, unpacked from the groups around it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def kind(text: str) -> str:
    """Return what two failures of one cause have in common: type and invariant."""
    return ":".join(text.split(":")[:2])


def outcome(story: Story) -> str:
    """Play a story; return how it failed, '' if it did not."""
    try:
        play(story)
    except Exception as error:  # noqa: BLE001 - any end of a story is a finding
        return failure(error)
    return ""


def shrink(story: Story) -> tuple[Story, str]:
    """Return the shortest story found that fails as this one does, and its failure."""
    last = outcome(story)
    tries = 0
    while last:
        for candidate in shorter(story):
            tries += 1
            found = outcome(candidate)
            if found and kind(found) == kind(last):
                story, last = candidate, found
                break
            if tries >= TRIES:
                return story, last
        else:
            break
    return story, last
