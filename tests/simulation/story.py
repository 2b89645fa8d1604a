"""What will happen in a seed, drawn before it happens: people, weather and disasters as data.

A story can be printed, played again bit for bit, and made shorter by leaving parts out.
"""

import random
from dataclasses import dataclass, replace
from typing import Literal

from contracts.subjects import SESSION_PARTITIONS

FAULTY_S = 8.0
SHORT_FAULTY_S = 4.0
BRIEF_FAULTY_S = 1.5
_BRIEF_TOKENS = 40
_BRIEF_STEP_MS = 20
_BRIEF_PARTITIONS = 2

DisasterKind = Literal[
    "kill", "crash", "pause", "halt", "cut", "cut out", "cut in", "history out", "election"
]
KINDS = ("session", "scheduler", "gpu", "edge", "summarizer")
PROCESSES = tuple(f"{kind}_{letter}" for kind in KINDS for letter in "ab")
_OFTEN = ("session", "scheduler", "gpu") * 2 + ("edge", "summarizer")
_SILENCED = (
    ("gpu_a", "gpu_b"),
    ("scheduler_a", "scheduler_b"),
    ("session_a", "session_b"),
    ("gpu_a", "gpu_b", "scheduler_a"),
    ("gpu_a", "gpu_b", "session_a", "session_b"),
)
LEDS = ("logs", "half the logs", "runs", "commands", "leases", "folds", "everything")
"""What loses its leader in an election. Of each log half the logs have home or its sibling."""

_WEATHER = (
    ("lose", 0.2),
    ("double", 0.2),
    ("delay_s", 0.05),
    ("refuse", 0.1),
    ("forget_ack", 0.1),
    ("history_refuse", 0.1),
    ("history_forget", 0.1),
)
_KINDS: tuple[tuple[DisasterKind, int], ...] = (
    ("kill", 4),
    ("crash", 6),
    ("pause", 2),
    ("halt", 3),
    ("cut", 2),
    ("cut out", 1),
    ("cut in", 1),
    ("history out", 1),
    ("election", 2),
)


@dataclass(frozen=True, slots=True)
class Disaster:
    """Something that breaks at `at_s` (after the start of the faults) for `lasts_s`.

    `kill` is a crash, restarted after `lasts_s`; `seen` says whether the parent tells. `pause`
    is SIGSTOP and SIGCONT. `crash` and `halt` are the same at an exact point: at the
    `calls`-th call to the server or to history that follows, before it or (`late`) after its
    effect. `cut` holds up all that a process sends and receives (`cut out`,
    `cut in`: one way only), as a connection does whose packets are lost for a while. In an
    `election` the streams that `target` names have no leader.
    """

    at_s: float
    kind: DisasterKind
    target: str
    lasts_s: float
    seen: bool = False
    calls: int = 0
    late: bool = False

    def __str__(self) -> str:
        if self.kind in ("crash", "halt"):
            when = "after" if self.late else "before"
            place = f", {when} the effect of its call {self.calls}"
            return f"{self.at_s:6.3f} s  {self.kind} {self.target}{place}, for {self.lasts_s:.3f} s"
        seen = ", and its parent says so" if self.seen and self.kind == "kill" else ""
        return f"{self.at_s:6.3f} s  {self.kind} {self.target} for {self.lasts_s:.3f} s{seen}"


@dataclass(frozen=True, slots=True)
class Window:
    """A viewer: opens `after_s`, reads from `start` (None: whatever there is), and leaves
    after `leaves_after` events (0: stays to the end)."""

    after_s: float
    start: int | None = 0
    leaves_after: int = 0


@dataclass(frozen=True, slots=True)
class Prompted:
    """One prompt: sent `after_s`, perhaps twice, perhaps again by another device with the same
    key, watched, and perhaps stopped (`stopped_after_s` below 0: before it is sent)."""

    after_s: float
    content: str
    max_tokens: int
    stop: tuple[str, ...] = ()
    windows: tuple[Window, ...] = (Window(0.0),)
    twice: bool = False
    keyed: bool = False
    stopped_after_s: float | None = None

    def __str__(self) -> str:
        parts = [f"after {self.after_s:.3f} s {self.content!r}, up to {self.max_tokens} tokens"]
        parts += [f"stop string {text!r}" for text in self.stop]
        parts += ["sent twice"] * self.twice + ["again with the same key"] * self.keyed
        parts += [f"{len(self.windows)} windows {[(w.after_s, w.start) for w in self.windows]}"]
        if self.stopped_after_s is not None:
            parts.append(f"stop pressed after {self.stopped_after_s:.3f} s")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Story:
    """One seed. `engines` are faults of each gpu's first life, as arguments of `SimConfig`.
    `folding`: chats have summaries, and turns that are long enough to need them. `log_age_s`:
    how soon entries of a log are dropped; nothing else lasts half as long, but in the stories of
    `draw_silent`. `queue_max`: how many runs and how many
    commands may wait; 0: as in production. `partitions`: in how many of all partitions chats
    are, and hosts look after them."""

    seed: int
    faulty_s: float
    eos_every: int
    step_ms: int
    weather: tuple[tuple[str, float], ...]
    people: tuple[tuple[Prompted, ...], ...]
    disasters: tuple[Disaster, ...]
    engines: tuple[tuple[str, str, int], ...] = ()
    folding: bool = False
    log_age_s: float = 0.0
    queue_max: int = 0
    partitions: int = SESSION_PARTITIONS

    @property
    def calm(self) -> bool:
        """Whether nothing but the weather goes wrong."""
        return not self.disasters and not self.engines

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: a token each {self.step_ms} ms, faults for {self.faulty_s} s"]
        lines += ["  chats are folded into summaries"] * self.folding
        lines += [f"  logs drop what is {self.log_age_s:.1f} s old"] * bool(self.log_age_s)
        lines += [f"  queues hold {self.queue_max} messages"] * bool(self.queue_max)
        lines += [f"  weather {name} {value:.3f}" for name, value in self.weather]
        lines += [f"  engine {name}: {fault} {value}" for name, fault, value in self.engines]
        for number, prompts in enumerate(self.people):
            lines += [f"  person {number}: {prompt}" for prompt in prompts]
        lines += [f"  {disaster}" for disaster in self.disasters]
        return "\n".join(lines)


def draw(seed: int, *, short: bool = False) -> Story:
    """Return the story of a seed; each draws its own mix of faults. `short` ones have one or
    two people and half the time."""
    rng = random.Random(seed)
    faulty_s = SHORT_FAULTY_S if short else FAULTY_S
    people = tuple(
        tuple(_prompted(rng) for _ in range(rng.randrange(1, 3 if short else 4)))
        for _ in range(rng.randrange(1, 3 if short else 5))
    )
    disasters = sorted(
        (_disaster(rng, faulty_s) for _ in range(rng.randrange(5 if short else 7))),
        key=lambda disaster: disaster.at_s,
    )
    folding = rng.random() < 0.3
    log_age_s = rng.uniform(7.0, 10.0) if rng.random() < 0.15 else 0.0
    if log_age_s:
        disasters = [replace(d, lasts_s=min(d.lasts_s, log_age_s / 4)) for d in disasters]
    story = Story(
        seed=seed,
        folding=folding,
        log_age_s=log_age_s,
        queue_max=rng.randrange(1, 4) if rng.random() < 0.1 else 0,
        faulty_s=faulty_s,
        eos_every=rng.choice((0, 40, 200)),
        step_ms=120 if log_age_s else rng.choice((5, 20, 50)),
        weather=tuple((n, rng.random() * worst) for n, worst in _WEATHER if rng.random() < 0.35),
        people=tuple(_wordier(rng, prompts) for prompts in people) if folding else people,
        disasters=tuple(disasters),
        engines=tuple(_engine_faults(rng)),
    )
    return _with_late_windows(rng, story) if log_age_s else story


def draw_brief(seed: int) -> Story:
    """Return the story of a seed in its briefest form: one chat, one prompt of few tokens, at
    most two disasters in 1.5 s, and the prompt that every story ends with. It leaves out what
    takes long: summaries, logs that are dropped, prompts one after another."""
    story = draw(seed, short=True)
    prompt = story.people[0][0]
    prompt = replace(
        prompt,
        after_s=prompt.after_s / 4,
        max_tokens=1 + prompt.max_tokens % _BRIEF_TOKENS,
        windows=prompt.windows[:2],
    )
    scale = BRIEF_FAULTY_S / story.faulty_s
    disasters = tuple(
        replace(disaster, at_s=disaster.at_s * scale, lasts_s=min(disaster.lasts_s, 2.0))
        for disaster in story.disasters[:2]
    )
    return replace(
        story,
        faulty_s=BRIEF_FAULTY_S,
        step_ms=min(story.step_ms, _BRIEF_STEP_MS),
        people=((prompt,),),
        disasters=disasters,
        folding=False,
        log_age_s=0.0,
        partitions=_BRIEF_PARTITIONS,
    )


def draw_silent(seed: int) -> Story:
    """Return a short story in which all who write, or all of one kind, are away for longer than
    a log is kept: it begins anew, and they come back to it."""
    story = draw(seed, short=True)
    rng = random.Random(f"{seed}/silent")
    log_age_s = story.log_age_s or rng.uniform(7.0, 10.0)
    kind: DisasterKind = rng.choice(("kill", "pause"))
    lasts_s = log_age_s + rng.uniform(0.5, 4.0)
    at_s = rng.uniform(0.5, SHORT_FAULTY_S)
    disasters = tuple(
        Disaster(at_s + number / 100, kind, target, lasts_s)
        for number, target in enumerate(rng.choice(_SILENCED))
    )
    silent = replace(
        story,
        faulty_s=FAULTY_S,
        step_ms=120,
        log_age_s=log_age_s,
        disasters=disasters,
    )
    return silent if story.log_age_s else _with_late_windows(rng, silent)


def _with_late_windows(rng: random.Random, story: Story) -> Story:
    """Return a story whose first prompt is answered for longer than its log is kept, and read
    by somebody who comes when the beginning is gone."""
    (first, *rest), *others = story.people
    late = tuple(
        Window(story.log_age_s + 2 * rng.random(), rng.choice((None, 0, rng.randrange(1, 12))))
        for _ in range(2)
    )
    first = replace(first, max_tokens=rng.randrange(100, 120), windows=(*first.windows, *late))
    return replace(story, eos_every=0, people=((first, *rest), *others))


def _wordier(rng: random.Random, prompts: tuple[Prompted, ...]) -> tuple[Prompted, ...]:
    """Return prompts of a chat that fills its window."""
    return tuple(
        replace(prompt, content=prompt.content + " and more" * rng.randrange(4, 16))
        for prompt in prompts
    )


def _prompted(rng: random.Random) -> Prompted:
    windows = tuple(
        Window(
            after_s=rng.random() * 2 * number,
            start=rng.choice((None, 0, 0, rng.randrange(12))),
            leaves_after=rng.randrange(1, 30) if rng.random() < 0.2 else 0,
        )
        for number in range(rng.choice((1, 1, 2, 3)))
    )
    return Prompted(
        after_s=rng.random(),
        content=f"prompt {rng.randrange(1000)}",
        max_tokens=rng.randrange(1, 120),
        stop=("ab",) if rng.random() < 0.3 else (),
        windows=windows,
        twice=rng.random() < 0.2,
        keyed=rng.random() < 0.2,
        stopped_after_s=rng.random() - 0.2 if rng.random() < 0.3 else None,
    )


def _disaster(rng: random.Random, faulty_s: float) -> Disaster:
    kinds, weights = zip(*_KINDS, strict=True)
    kind = rng.choices(kinds, weights)[0]
    letter = rng.choice("ab")
    target = f"{rng.choice(_OFTEN)}_{letter}" if kind != "election" else rng.choice(LEDS)
    return Disaster(
        at_s=rng.random() * faulty_s,
        kind=kind,
        target=target,
        lasts_s=rng.random() ** 2 * 5 + 0.05,
        seen=rng.random() < 0.5,
        calls=rng.randrange(1, 12),
        late=rng.random() < 0.5,
    )


def _engine_faults(rng: random.Random) -> list[tuple[str, str, int]]:
    """At most one engine stalls: nobody replaces it, and a pool needs one that works."""
    found: list[tuple[str, str, int]] = []
    for name in ("gpu_a", "gpu_b"):
        if rng.random() < 0.2:
            fault = rng.choice(("stall_after", "crash_after", "duplicate_every"))
            if fault == "stall_after" and any(earlier == fault for _, earlier, _ in found):
                continue
            found.append((name, fault, rng.randrange(2, 150)))
    return found


def shorter(story: Story) -> list[Story]:
    """Return the stories that leave one part of this one out, the largest parts first."""
    found: list[Story] = []
    if len(story.people) > 1:
        found += [
            replace(story, people=_without(story.people, i)) for i in range(len(story.people))
        ]
    if len(story.disasters) > 2:
        half = len(story.disasters) // 2
        found += [
            replace(story, disasters=story.disasters[:half]),
            replace(story, disasters=story.disasters[half:]),
        ]
    found += [
        replace(story, disasters=_without(story.disasters, i)) for i in range(len(story.disasters))
    ]
    found += [replace(story, weather=_without(story.weather, i)) for i in range(len(story.weather))]
    found += [replace(story, engines=_without(story.engines, i)) for i in range(len(story.engines))]
    found += [
        plainer
        for plainer in (
            replace(story, folding=False),
            replace(story, log_age_s=0.0),
            replace(story, queue_max=0),
        )
        if plainer != story
    ]
    for number, prompts in enumerate(story.people):
        for simpler in _simpler_prompts(prompts):
            people = (*story.people[:number], simpler, *story.people[number + 1 :])
            found.append(replace(story, people=people))
    return found


def _simpler_prompts(prompts: tuple[Prompted, ...]) -> list[tuple[Prompted, ...]]:
    found = [_without(prompts, i) for i in range(len(prompts)) if len(prompts) > 1]
    for number, prompt in enumerate(prompts):
        simpler = [
            replace(prompt, windows=prompt.windows[:1]),
            replace(prompt, twice=False),
            replace(prompt, keyed=False),
            replace(prompt, stop=()),
            replace(prompt, stopped_after_s=None),
            replace(prompt, max_tokens=max(1, prompt.max_tokens // 2)),
        ]
        found += [(*prompts[:number], s, *prompts[number + 1 :]) for s in simpler if s != prompt]
    return found


def _without(items: tuple, index: int) -> tuple:  # type: ignore[type-arg]
    return (*items[:index], *items[index + 1 :])
