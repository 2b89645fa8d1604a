"""Stories that found something, and that early seeds seldom draw; they stay.

Each is told in many ways, since what it shows needs a moment that moves as the code changes.
"""

from dataclasses import replace

from tests.simulation.story import FAULTY_S, Disaster, Prompted, Story, Window, draw


def _stopped_host(seed: int, stopped: Disaster) -> Story:
    """One prompt, a history that often refuses, and a session host that is stopped for longer
    than its leases."""
    return Story(
        seed=seed,
        faulty_s=8.0,
        eos_every=0,
        step_ms=20,
        weather=(("history_refuse", 0.6),),
        people=((Prompted(0.3, "hello", 20),),),
        disasters=(stopped,),
    )


REFUSED_BY_A_STOPPED_HOST = tuple(
    _stopped_host(seed, Disaster(0.25, "halt", "session_b", lasts_s, calls=calls))
    for seed in (10, 8, 30, *range(31, 60))
    for lasts_s in (3.0, 3.5)
    for calls in (5, 8)
)
"""A host went on where it was stopped, and refused a prompt that its successor ran."""

REFUSED_BY_THE_NEXT_OWNER = tuple(
    _stopped_host(seed, Disaster(0.299, "halt", "session_a", 4.4, calls=calls))
    for seed in (2, 3)
    for calls in range(10, 60)
)
"""A prompt was refused while the owner before was storing it."""

REFUSED_AND_GIVEN_AGAIN = tuple(
    Story(
        seed=seed,
        faulty_s=1.5,
        eos_every=0,
        step_ms=20,
        weather=(("history_refuse", 0.6),),
        people=((Prompted(0.1, "hello", 20),),),
        disasters=(
            Disaster(0.564, "election", "commands", 1.757),
            Disaster(0.64, "halt", "session_b", 1.673, calls=5),
        ),
    )
    for seed in (2, 8, *range(10, 60))
)
"""A prompt was refused while nobody heard that it was done: the next owner was given it, and ran
it."""

STOPPED_TWICE = tuple(
    Story(
        seed=seed,
        faulty_s=4.0,
        eos_every=0,
        step_ms=5,
        weather=(("delay_s", 0.043),),
        people=(
            (
                Prompted(0.02, "hello", 1, windows=(Window(0.0, 0, 2),), twice=True),
                Prompted(0.57, "and then", 1, stopped_after_s=0.11),
            ),
        ),
        disasters=(Disaster(at_s, "election", "everything", 1.87),),
        folding=True,
    )
    for at_s in (0.2, 0.22, 0.24)
    for seed in range(40)
)
"""Stops that were sent again, for want of an answer, came ahead of their prompt."""

BEGUN_ANEW = (draw(16299, short=True), draw(15))
"""Nobody wrote for longer than a log is kept: it began again at 1, and the place of a reader
fitted its numbers."""

WOKEN_TOO_LATE = tuple(
    replace(
        draw(51614, short=True),
        faulty_s=FAULTY_S,
        disasters=(
            Disaster(at_s, "pause", "gpu_a", lasts_s),
            Disaster(at_s, "pause", "gpu_b", lasts_s),
        ),
    )
    for at_s in (0.3, 0.4, 0.5, 0.6)
    for lasts_s in (11.5, 12.0)
)
"""Both workers were stopped for longer than a log is kept, one of them with a run of which it was
told that nobody had begun it; by then another had, and was dropped."""

CUT_IN_A_CHARACTER = tuple(
    Story(
        seed=1,
        faulty_s=4.0,
        eos_every=0,
        step_ms=20,
        weather=(),
        people=((Prompted(0.6, words, 60, stopped_after_s=stopped_ms / 1000),),),
        disasters=(),
    )
    for words, first_ms in (("hello", 880), ("prompt 815" + 5 * " and more", 100))
    for stopped_ms in range(first_ms, first_ms + 60, 5)
)
"""A stop came between the tokens of one character."""
