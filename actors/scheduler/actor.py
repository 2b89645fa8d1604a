"""The shell of a pool's scheduler: lease, inbox, clock."""

import asyncio
import itertools
from collections import deque
from contextlib import AsyncExitStack

import structlog

from actors.runtime.lease import Lease
from actors.runtime.racing import first_of
from actors.scheduler import metrics
from actors.scheduler.config import SchedulerConfig
from actors.scheduler.effects import EffectRunner
from actors.scheduler.journal import JournalEntry
from actors.scheduler.journal_log import JournalLog
from actors.scheduler.machine import SchedulerMachine
from actors.scheduler.state import (
    Asked,
    Effect,
    Heard,
    ReaderSeen,
    Reconfigured,
    RunSubmitted,
    SchedulerMessage,
    Settle,
    Tick,
)
from contracts.codec import decode
from contracts.errors import BadMessage, BusUnavailable, Fenced
from contracts.ports.bus import Bus, Delivery, Inbound
from contracts.ports.clock import Clock
from contracts.ports.token_log import TokenLog
from contracts.runs import RunSpec
from contracts.scheduling import ActorInfo, SchedulerRequest, WorkerMessage
from contracts.subjects import (
    EDGES_ANNOUNCED,
    RUNS_STREAM,
    run_queue_filter,
    scheduler_durable,
    scheduler_lease,
    scheduler_requests,
    scheduler_workers,
)

_log = structlog.get_logger()
_TICK_S = 0.05
_BREATH = 16
"""After so many messages the lease is renewed and requests are answered, however many are left."""

_PAGE = 128
"""After so many messages the journal is written, where it can be: long entries are long steps."""

_PENDING_MIN = 65_536
"""So many runs may be unacknowledged in any case; else twice as many as may wait."""


class _Keeper:
    """Writes the journal, one entry at a time, and then lets go of the runs that it settles: a
    settlement is durable before its run is acknowledged. `replaced`: another writes it now."""

    def __init__(self, journal: JournalLog, hands: EffectRunner, clock: Clock) -> None:
        self.settles: list[Settle] = []
        self.busy = False
        self.replaced = False
        self._journal = journal
        self._hands = hands
        self._clock = clock

    async def keep(self, entry: JournalEntry | None) -> None:
        """Store the entry, however often that takes, and perform what waited for it. Whoever
        calls has set `busy`."""
        settles, self.settles = self.settles, []
        while entry is not None:
            try:
                await self._journal.store(entry)
                break
            except BusUnavailable as error:
                _log.warning("journal not written yet", error=str(error))
                await self._clock.sleep(_TICK_S)
            except Fenced:
                self.replaced = True
                return
        for settle in settles:
            self._hands.perform_now(settle)
        self.busy = False


class SchedulerActor:
    """Schedules one pool while it holds the pool's lease; else it stands by.

    The inbox is bounded by what fills it: the consumer's `max_pending`, and one report of
    each worker per 100 ms; each batch is handled before the next is awaited. Requests have an
    inbox of their own, which is emptied first: who is refused learns it at once. Over `side_bus`,
    where one is given, goes what must not wait behind a queue: requests, the journal, the lease.
    """

    def __init__(
        self,
        config: SchedulerConfig,
        *,
        bus: Bus,
        log: TokenLog,
        clock: Clock,
        actor_id: str,
        side_bus: Bus | None = None,
    ) -> None:
        self._config = config
        self._bus = bus
        self._clock = clock
        self._actor_id = actor_id
        self._side_bus = side_bus or bus
        self._lease = Lease(
            self._side_bus, clock, scheduler_lease(config.pool), actor_id, config.lease_ttl_s
        )
        self._token_log = log
        self._hands = self._new_hands()
        self._inbox: deque[SchedulerMessage] = deque()
        self._requests: deque[Asked] = deque()
        self._filled = asyncio.Event()
        self._numbers = itertools.count(1)
        self._term = 0
        self._stopping = asyncio.Event()

    def info(self, pid: int, host: str) -> ActorInfo:
        """Return this actor's row of `parley ps`."""
        return ActorInfo(
            role="scheduler",
            id=self._actor_id,
            pid=pid,
            host=host,
            state="active" if self._term else "standby",
            epoch=self._term,
            running=len(self._hands.deliveries),
            waiting=len(self._inbox),
        )

    def reconfigure(self, config: SchedulerConfig) -> None:
        """Go by the tiers and costs of `config` from the next decision on."""
        self._config = config
        if self._term:
            self._put(Reconfigured(config.tiers, config.costs))

    @property
    def leads(self) -> bool:
        """Whether it may act as the pool's scheduler now."""
        return bool(self._term) and self._lease.held

    async def run(self) -> None:
        """Stand by for the lease and schedule while it is held, until `stop`."""
        while not self._stopping.is_set():
            await first_of(self._stopping.wait(), self._serve_term())

    async def stop(self) -> None:
        """End now; the lease is given up, so a standby takes over at once."""
        self._stopping.set()

    async def _serve_term(self) -> None:
        """Schedule from one gain of the lease to its loss."""
        term = await self._lease.acquire()
        _log.info("scheduling", pool=self._config.pool, term=term)
        self._term = term
        metrics.ACTIVE.labels(self._config.pool).set(1)
        try:
            await first_of(self._lease.held_until_lost(), self._schedule(term))
            _log.warning("lease lost", pool=self._config.pool)
        except BusUnavailable as error:
            _log.warning("scheduling not begun", pool=self._config.pool, error=str(error))
            await self._clock.sleep(_TICK_S)
        finally:
            self._term = 0
            self._inbox.clear()
            self._requests.clear()
            self._hands = self._new_hands()
            metrics.ACTIVE.labels(self._config.pool).set(0)
            await self._lease.release()

    def _new_hands(self) -> EffectRunner:
        return EffectRunner(
            self._config.pool,
            self._actor_id,
            self._bus,
            self._token_log,
            self._clock,
            side_bus=self._side_bus,
        )

    async def _schedule(self, term: int) -> None:
        pool = self._config.pool
        journal = JournalLog(self._side_bus, self._clock, pool)
        async with AsyncExitStack() as held:
            heard = await self._bus.subscribe(scheduler_workers(pool), self._hear)
            held.push_async_callback(heard.stop)
            edges = await self._bus.subscribe(EDGES_ANNOUNCED, self._see)
            held.push_async_callback(edges.stop)
            runs = await self._bus.consume(
                RUNS_STREAM,
                scheduler_durable(pool),
                run_queue_filter(pool),
                self._receive,
                redeliver_all=True,
                max_pending=max(_PENDING_MIN, 2 * self._config.queue_max),
            )
            held.push_async_callback(runs.stop)
            # The queue comes while the journal is read, which it does not wait for.
            machine = await self._restored(journal, term)
            asked = await self._side_bus.subscribe(scheduler_requests(pool), self._ask)
            held.push_async_callback(asked.stop)
            machine.listen(self._clock.now_ms())
            async with asyncio.TaskGroup() as group:
                await self._loop(machine, journal, group)

    async def _restored(self, journal: JournalLog, term: int) -> SchedulerMachine:
        """Return a machine that knows what earlier ones left. Others have their turn meanwhile:
        the lease must be renewed."""
        known = await journal.open(term)
        machine = SchedulerMachine(self._config, term, self._clock.now_ms())
        for _ in machine.remember(known):
            await self._clock.sleep(0)
        return machine

    async def _loop(
        self, machine: SchedulerMachine, journal: JournalLog, group: asyncio.TaskGroup
    ) -> None:
        """Handle what comes, in batches, while the lease is held: a paused scheduler that
        wakes up after its lease ran out does nothing more."""
        next_tick_ms = 0
        keeper = _Keeper(journal, self._hands, self._clock)
        while not keeper.replaced:
            if not self._inbox and not self._requests:
                self._filled.clear()
                await self._wait_for_work()
            mono_ms = self._clock.monotonic_ms()
            if mono_ms >= next_tick_ms:
                next_tick_ms = mono_ms + int(_TICK_S * 1000)
                self._inbox.append(Tick())
            now_ms = self._clock.now_ms()
            for number in range(1, max(2, len(self._inbox) + 1)):
                if number % _BREATH == 0:
                    await asyncio.sleep(0)
                    now_ms = self._clock.now_ms()
                if number % _PAGE == 0:
                    self._write(machine, keeper, now_ms, group)
                if not self._lease.held:
                    return
                while self._requests:
                    self._perform(machine, self._requests.popleft(), now_ms, keeper, group)
                if self._inbox:
                    self._perform(machine, self._inbox.popleft(), now_ms, keeper, group)
            self._write(machine, keeper, now_ms, group)

    def _write(
        self,
        machine: SchedulerMachine,
        keeper: _Keeper,
        now_ms: int,
        group: asyncio.TaskGroup,
    ) -> None:
        """Begin the journal's next entry, if the last one is stored and there is anything new."""
        if keeper.busy:
            return
        entry = machine.journal_entry(now_ms)
        if entry is not None or keeper.settles:
            keeper.busy = True
            group.create_task(self._keep(keeper, entry))

    def _perform(
        self,
        machine: SchedulerMachine,
        message: SchedulerMessage,
        now_ms: int,
        keeper: _Keeper,
        group: asyncio.TaskGroup,
    ) -> None:
        for effect in machine.handle(message, now_ms):
            if isinstance(effect, Settle):
                keeper.settles.append(effect)
            elif not self._hands.perform_now(effect):
                group.create_task(self._later(effect))

    async def _wait_for_work(self) -> None:
        try:
            async with asyncio.timeout(_TICK_S):
                await self._filled.wait()
        except TimeoutError:
            pass

    async def _keep(self, keeper: "_Keeper", entry: JournalEntry | None) -> None:
        await keeper.keep(entry)
        self._filled.set()

    async def _later(self, effect: Effect) -> None:
        message = await self._hands.perform_later(effect)
        if message is not None:
            self._put(message)

    def _put(self, message: SchedulerMessage) -> None:
        self._inbox.append(message)
        self._filled.set()

    def _receive(self, delivery: Delivery) -> None:
        try:
            spec = decode(delivery.stored.data, RunSpec)
        except BadMessage as error:
            _log.error("run does not decode", subject=delivery.stored.subject, error=str(error))
            delivery.ack()
            return
        number = next(self._numbers)
        self._hands.deliveries[number] = delivery
        self._put(RunSubmitted(spec, number, delivery.redelivered))

    def _see(self, inbound: Inbound) -> None:
        try:
            row = decode(inbound.data, ActorInfo)
        except BadMessage as error:
            _log.warning("announcement does not decode", error=str(error))
            return
        self._put(ReaderSeen(row.id, row.epoch))

    def _hear(self, inbound: Inbound) -> None:
        try:
            self._put(Heard(decode(inbound.data, WorkerMessage)))
        except BadMessage as error:
            _log.warning("worker message does not decode", error=str(error))

    def _ask(self, inbound: Inbound) -> None:
        try:
            self._requests.append(Asked(decode(inbound.data, SchedulerRequest), inbound.reply))
            self._filled.set()
        except BadMessage as error:
            _log.warning("request does not decode", error=str(error))
