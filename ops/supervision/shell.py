"""The loop of the supervisor: carries messages to the machine and performs its effects."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.notify import parse
from ops.supervision.machine import Supervisor
from ops.supervision.output import ChildOutput, Screen
from ops.supervision.processes import Command, Process
from ops.supervision.state import (
    AllReady,
    AnnounceGone,
    BecameReady,
    Begin,
    ChildSpec,
    Died,
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

HOPELESS_EXIT = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """How a child is run. `command` is asked for at every start. `probe`, where a child
    can't say itself that it is ready, returns once it is."""

    spec: ChildSpec
    command: Callable[[], Command]
    probe: Callable[[], Awaitable[None]] | None = None


class Shell:
    """Runs a stack of children from its start to its end."""

    def __init__(
        self,
        plans: Sequence[Plan],
        *,
        logs: Path,
        screen: Screen,
        on_gone: Callable[[str, int, int], Awaitable[None]],
        on_all_ready: Callable[[], Awaitable[None]],
        on_stopping: Callable[[], None] | None = None,
        policy: Policy | None = None,
    ) -> None:
        """`on_gone` gets name, process id and status of a dead child whose spec says `gone`;
        `on_all_ready` runs beside the stack once every child has been ready; `on_stopping` is
        called when the end is asked for."""
        self._plans = {plan.spec.name: plan for plan in plans}
        self._machine = Supervisor([plan.spec for plan in plans], policy)
        self._screen = screen
        self._outputs = {name: ChildOutput(name, logs, screen) for name in self._plans}
        self._processes: dict[str, Process] = {}
        self._faults: dict[str, str] = {}
        self._codes: dict[str, int] = {}
        self._on_gone = on_gone
        self._on_all_ready = on_all_ready
        self._on_stopping = on_stopping
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        self._done: asyncio.Future[int] | None = None

    async def run(self) -> int:
        """Return the exit status when no child is left; SIGINT, SIGTERM and SIGHUP end it."""
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in signals:
            loop.add_signal_handler(number, self._stop_asked)
        try:
            async with asyncio.TaskGroup() as self._group:
                self._tell(Begin())
                code = await self._done
                for task in self._tasks:
                    task.cancel()
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
            for process in self._processes.values():
                process.kill()
            for output in self._outputs.values():
                output.close()
        return code

    def renew(self, name: str) -> None:
        """Have a child that lives end and start again, as if it had died."""
        if name in self._processes and not self._machine.stopping:
            self._screen.say(name, "ending, to be started again")
            self._processes[name].terminate()

    def _stop_asked(self) -> None:
        again = self._machine.stopping
        self._screen.line("stopping now" if again else "stopping in order (Ctrl-C again: at once)")
        if self._on_stopping is not None:
            self._on_stopping()
        self._tell(Stop())

    def _tell(self, message: Message) -> None:
        for effect in self._machine.handle(message, int(time.monotonic() * 1000)):
            self._perform(effect)

    def _tell_later(self, message: Message, delay_ms: int = 0) -> None:
        asyncio.get_running_loop().call_later(delay_ms / 1000, self._tell, message)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Spawn():
                self._spawn(effect)
            case Terminate(name, generation, overdue_ms):
                self._screen.say(name, "ending")
                self._processes[name].terminate()
                self._tell_later(StopOverdue(name, generation), overdue_ms)
            case Kill(name):
                if name in self._processes:
                    self._processes[name].kill()
            case RestartLater(name, generation, delay_ms):
                self._tell_later(RestartDue(name, generation), delay_ms)
            case AnnounceGone(name):
                process = self._processes.get(name)
                if process is not None:
                    code = self._codes.get(name, 0)
                    self._start_task(self._on_gone(name, process.pid, code))
            case Died(name, code, delay_ms):
                when = f"in {delay_ms} ms" if delay_ms else "at once"
                self._screen.say(name, f"{self._how(name, code)}; starting it again {when}")
            case GaveUp(name, code):
                self._screen.say(
                    name,
                    f"{self._how(name, code)}; giving up. All it said: {self._outputs[name].path}",
                )
            case AllReady():
                self._start_task(self._on_all_ready())
            case Finished(code):
                if self._done is not None and not self._done.done():
                    self._done.set_result(code)

    def _spawn(self, effect: Spawn) -> None:
        name, generation = effect.name, effect.generation
        self._screen.say(name, "starting again" if effect.again else "starting")
        self._faults.pop(name, None)
        try:
            self._processes[name] = Process(
                self._plans[name].command(),
                on_output=self._outputs[name].line,
                on_notice=lambda line: self._noticed(name, generation, line),
                on_exit=lambda code: self._exited(name, generation, code),
            )
        except OSError as error:
            self._faults[name] = f"it can't be started ({error.strerror})"
            self._tell_later(Exited(name, generation, HOPELESS_EXIT, hopeless=True))
            return
        probe = self._plans[name].probe
        if probe is not None:
            self._start_task(self._probe(name, generation, probe))

    async def _probe(
        self, name: str, generation: int, probe: Callable[[], Awaitable[None]]
    ) -> None:
        await probe()
        self._became_ready(name, generation, "")

    def _noticed(self, name: str, generation: int, line: str) -> None:
        notice = parse(line)
        if notice is None:
            return
        match notice.kind:
            case "progress":
                self._screen.say(name, notice.text)
            case "ready":
                self._became_ready(name, generation, notice.text)
            case "fault":
                self._faults[name] = notice.text

    def _became_ready(self, name: str, generation: int, text: str) -> None:
        self._screen.say(name, f"ready ({text})" if text else "ready")
        self._tell(BecameReady(name, generation))

    def _exited(self, name: str, generation: int, code: int) -> None:
        self._codes[name] = code
        if self._machine.stopping:
            self._screen.say(name, "ended")
        self._tell(Exited(name, generation, code, hopeless=code == HOPELESS_EXIT))

    def _how(self, name: str, code: int) -> str:
        if code < 0:
            words = f"killed by {signal.Signals(-code).name}"
        else:
            words = f"ended with status {code}"
        why = self._faults.get(name) or self._outputs[name].last_words
        return f"{words}: {why}" if why and code >= 0 else words

    def _start_task(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        assert self._group is not None
        task = self._group.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
