"""All decisions of the supervisor. Pure: no clock, no process, no I/O."""

from collections.abc import Sequence

from contracts.errors import IllegalMessage
from ops.supervision.state import (
    AllReady,
    AnnounceGone,
    BecameReady,
    Begin,
    Child,
    ChildSpec,
    Died,
    Effect,
    Exited,
    Finished,
    GaveUp,
    Kill,
    Message,
    Phase,
    Policy,
    RestartDue,
    RestartLater,
    Spawn,
    Stop,
    StopOverdue,
    Terminate,
)


class Supervisor:
    """Keeps the children of a stack running, from `Begin` to `Finished`.

    `children` are kept in the order given, which is also the order of effects within a
    stage. Their names must differ.
    """

    def __init__(self, children: Sequence[ChildSpec], policy: Policy | None = None) -> None:
        self.children = {spec.name: Child(spec) for spec in children}
        if len(self.children) != len(children):
            raise ValueError("two children have the same name")
        self._policy = policy or Policy()
        self._begun = False
        self._stops = 0
        self._gave_up = False
        self._announced = False
        self._finished = False

    @property
    def stopping(self) -> bool:
        """True from the moment that an end was asked for or decided."""
        return self._stops > 0 or self._gave_up

    def handle(self, message: Message, now_ms: int) -> tuple[Effect, ...]:
        """Return what is to be done about `message`.

        `now_ms` is a clock that never steps back. Messages about an earlier process of a
        child have no effect.

        Raises:
            IllegalMessage: a message before `Begin`, a second `Begin`, or an unknown child.
        """
        if isinstance(message, Begin) == self._begun:
            raise IllegalMessage(f"{message} does not belong here")
        match message:
            case Begin():
                self._begun = True
                return tuple(self._spawn_due())
            case Stop():
                return tuple(self._stop())
        child = self.children.get(message.name)
        if child is None:
            raise IllegalMessage(f"there is no child {message.name}")
        if message.generation != child.generation or self._finished:
            return ()
        match message:
            case BecameReady():
                return tuple(self._ready(child))
            case Exited():
                return tuple(self._exited(child, message, now_ms))
            case RestartDue():
                return tuple(self._restart(child))
            case StopOverdue():
                return tuple(self._overdue(child))

    def _spawn_due(self) -> list[Effect]:
        return [
            self._spawn(child)
            for child in self.children.values()
            if child.phase is Phase.WAITING and self._earlier_ready(child.spec.stage)
        ]

    def _earlier_ready(self, stage: int) -> bool:
        return all(child.was_ready for child in self.children.values() if child.spec.stage < stage)

    def _spawn(self, child: Child) -> Spawn:
        again = child.generation > 0
        child.generation += 1
        child.phase = Phase.STARTING
        return Spawn(child.spec.name, child.generation, again)

    def _ready(self, child: Child) -> list[Effect]:
        if child.phase is not Phase.STARTING:
            return []
        child.phase = Phase.READY
        child.was_ready = True
        child.failures = 0
        effects = self._spawn_due()
        if not self._announced and all(
            other.phase is Phase.READY for other in self.children.values() if other.spec.awaited
        ):
            self._announced = True
            effects.append(AllReady())
        return effects

    def _exited(self, child: Child, exit_: Exited, now_ms: int) -> list[Effect]:
        if not child.alive:
            return []
        name = child.spec.name
        effects: list[Effect] = [Kill(name, child.generation)]
        if child.spec.gone:
            effects.append(AnnounceGone(name))
        if self.stopping:
            child.phase = Phase.DOWN
            return effects + self._stop_next()
        if child.phase is Phase.STARTING:
            child.failures += 1
        since = now_ms - self._policy.period_ms
        child.deaths = [at for at in child.deaths if at > since] + [now_ms]
        if (
            exit_.hopeless
            or (child.failures >= self._policy.failures_max and not child.was_ready)
            or len(child.deaths) > self._policy.deaths_max
        ):
            child.phase = Phase.DOWN
            self._gave_up = True
            return [*effects, GaveUp(name, exit_.code, len(child.deaths)), *self._stop_next()]
        delays = self._policy.delays_ms
        delay_ms = delays[min(len(child.deaths), len(delays)) - 1]
        child.phase = Phase.BACKOFF
        effects.append(Died(name, exit_.code, delay_ms))
        effects.append(RestartLater(name, child.generation, delay_ms))
        return effects

    def _restart(self, child: Child) -> list[Effect]:
        return [self._spawn(child)] if child.phase is Phase.BACKOFF else []

    def _overdue(self, child: Child) -> list[Effect]:
        if child.phase is not Phase.STOPPING:
            return []
        return [Kill(child.spec.name, child.generation)]

    def _stop(self) -> list[Effect]:
        if self._finished:
            return []
        self._stops += 1
        if self._stops == 1:
            return self._stop_next()
        return [
            Kill(child.spec.name, child.generation)
            for child in self.children.values()
            if child.alive
        ]

    def _stop_next(self) -> list[Effect]:
        """Tell the highest rank that still lives to end; all gone: finish."""
        for child in self.children.values():
            if child.phase in (Phase.WAITING, Phase.BACKOFF):
                child.phase = Phase.DOWN
        living = [child for child in self.children.values() if child.alive]
        if not living:
            if self._finished:
                return []
            self._finished = True
            return [Finished(1 if self._gave_up or self._stops > 1 else 0)]
        rank = max(child.spec.rank for child in living)
        effects: list[Effect] = []
        for child in living:
            if child.spec.rank == rank and child.phase is not Phase.STOPPING:
                child.phase = Phase.STOPPING
                effects.append(Terminate(child.spec.name, child.generation, child.spec.stop_ms))
        return effects
