"""The supervisor's decisions under every order of starts, deaths, waits and stops."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from ops.supervision.machine import Supervisor
from ops.supervision.state import (
    AllReady,
    AnnounceGone,
    BecameReady,
    Begin,
    ChildSpec,
    Effect,
    Exited,
    Finished,
    GaveUp,
    Kill,
    Message,
    Policy,
    RestartDue,
    RestartLater,
    Spawn,
    Stop,
    StopOverdue,
    Terminate,
)

SPECS = (
    ChildSpec("nats", stage=0, rank=0),
    ChildSpec("session", stage=1, rank=1),
    ChildSpec("scheduler", stage=1, rank=2),
    ChildSpec("gpu-1", stage=1, rank=3, gone=True),
    ChildSpec("gpu-2", stage=1, rank=3, gone=True),
    ChildSpec("edge", stage=1, rank=4),
)
BY_NAME = {spec.name: spec for spec in SPECS}


@dataclass
class World:
    """Processes as the shell would have them; checks the invariants at every effect."""

    supervisor: Supervisor = field(
        default_factory=lambda: Supervisor(SPECS, Policy(deaths_max=4, failures_max=3))
    )
    now_ms: int = 0
    running: dict[str, int] = field(default_factory=dict)
    been_ready: set[str] = field(default_factory=set)
    killed: set[tuple[str, int]] = field(default_factory=set)
    timers: list[RestartDue | StopOverdue] = field(default_factory=list)
    announced: int = 0
    gone: int = 0
    gave_up: bool = False
    stops: int = 0
    finished: int | None = None

    def tell(self, message: Message) -> None:
        for effect in self.supervisor.handle(message, self.now_ms):
            self.perform(effect)

    def perform(self, effect: Effect) -> None:
        assert self.finished is None, "nothing happens after the end"
        match effect:
            case Spawn(name, generation):
                assert not self.stops and not self.gave_up, "nothing is spawned after a stop"
                assert name not in self.running, "one process a child"
                assert all(
                    other.name in self.been_ready
                    for other in SPECS
                    if other.stage < BY_NAME[name].stage
                )
                if generation > 1:
                    assert (name, generation - 1) in self.killed, "its group is killed first"
                self.running[name] = generation
            case Terminate(name, generation):
                assert self.running[name] == generation
                assert self.stops or self.gave_up
                higher = [n for n in self.running if BY_NAME[n].rank > BY_NAME[name].rank]
                assert not higher, "what needs it has ended first"
                self.timers.append(StopOverdue(name, generation))
            case Kill(name, generation):
                self.killed.add((name, generation))
            case RestartLater(name, generation):
                self.timers.append(RestartDue(name, generation))
            case AnnounceGone(name):
                assert BY_NAME[name].gone
                self.gone += 1
            case GaveUp():
                self.gave_up = True
            case AllReady():
                self.announced += 1
                assert self.announced == 1
                assert set(self.running) == set(BY_NAME)
            case Finished(code):
                assert not self.running, "no child is left"
                assert self.stops or self.gave_up
                assert code == (1 if self.gave_up or self.stops > 1 else 0)
                self.finished = code

    def die(self, name: str, code: int) -> None:
        generation = self.running.pop(name)
        self.tell(Exited(name, generation, code, hopeless=code == 2))

    def kill_swept(self) -> None:
        """What was killed dies."""
        for name, generation in sorted(self.running.items()):
            if (name, generation) in self.killed:
                self.die(name, -9)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("ready", "die", "die", "fail", "timer", "wait", "sweep", "stop")),
        st.integers(0, 5),
    ),
    max_size=80,
)


def play(world: World, steps: Sequence[tuple[str, int]]) -> None:
    for action, number in steps:
        if world.finished is not None:
            return
        names = sorted(world.running)
        name = names[number % len(names)] if names else None
        match action:
            case "ready" if name:
                world.been_ready.add(name)
                world.tell(BecameReady(name, world.running[name]))
            case "die" if name:
                world.die(name, -9)
            case "fail" if name:
                world.die(name, 1 if number else 2)
            case "timer" if world.timers:
                world.tell(world.timers.pop(number % len(world.timers)))
            case "wait":
                world.now_ms += 10_000 * number
            case "sweep":
                world.kill_swept()
            case "stop" if number == 0:
                world.stops += 1
                world.tell(Stop())
            case _:
                continue


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_supervisor_under_any_history_keeps_its_invariants_and_ends(
    steps: list[tuple[str, int]],
) -> None:
    world = World()
    world.tell(Begin())
    play(world, steps)
    if world.finished is None:
        world.stops += 1
        world.tell(Stop())
    for _ in range(50):
        if world.finished is not None:
            break
        while world.timers:
            world.tell(world.timers.pop())
        world.kill_swept()
    assert world.finished is not None, "a stop ends everything, at worst by force"


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 40), st.integers(0, 5))
def test_supervisor_restarts_what_was_ready_and_dies_seldom_for_ever(
    deaths: int, which: int
) -> None:
    world = World()
    world.tell(Begin())
    names = [spec.name for spec in SPECS]
    for name in names:
        world.been_ready.add(name)
        world.tell(BecameReady(name, world.running[name]))
    assert world.announced == 1
    name = names[which]
    for _ in range(deaths):
        world.now_ms += 61_000
        world.die(name, -9)
        world.tell(world.timers.pop())
        world.tell(BecameReady(name, world.running[name]))
    assert not world.gave_up
    assert world.gone == (deaths if BY_NAME[name].gone else 0)
