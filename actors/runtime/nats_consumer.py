"""Push consumers that notice what they missed.

A push consumer numbers its deliveries from 1. A number out of turn, a heartbeat that names
another number, a reconnect, or silence means that deliveries were lost on the way, and the
server would repeat them only after its acknowledgement wait. So the consumer starts over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from actors.runtime import metrics
from actors.runtime.nats_api import (
    HEARTBEAT_S,
    NOT_FOUND,
    Refusal,
    durable_config,
    is_tombstone,
    watch_config,
)
from actors.runtime.nats_wire import Wire
from actors.runtime.raw_headers import RawHeaders, status_of
from contracts.errors import BusError, BusUnavailable
from contracts.ports.bus import Delivery, LeaseEntry, Stored

Api = Callable[[str, dict[str, Any] | None], Awaitable[dict[str, Any]]]

_TAKEN = frozenset((10013, 10105, 10148))
"""Error codes: a consumer of that name exists."""

_TAKE_OVER_TRIES = 10
_STEP_BACK_S = (0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class _Place:
    """What the reply subject of a delivery says."""

    stream_seq: int
    consumer_seq: int
    deliveries: int


def _place(reply: str) -> _Place:
    tokens = reply.split(".")
    first = 4 if len(tokens) < 11 else 6
    return _Place(int(tokens[first + 1]), int(tokens[first + 2]), int(tokens[first]))


class _PushConsumer:
    """The chain of deliveries and its repair; children say how to start over."""

    def __init__(self, wire: Wire, api: Api, name: str) -> None:
        self._wire = wire
        self._api = api
        self._name = name
        self._expected = 0
        self._heard_s = 0.0
        self._broken = asyncio.Event()
        self._end_subscription: Callable[[], Awaitable[None]] | None = None
        self._repairing: asyncio.Task[None] | None = None
        self._stopped = False

    def suspect(self) -> None:
        """Start over soon: deliveries may have been lost."""
        self._expected = 0
        self._broken.set()

    async def _listen(self) -> str:
        await self._silence()
        inbox = self._wire.client.new_inbox()
        self._expected = 1
        self._heard_s = asyncio.get_running_loop().time()
        self._end_subscription = await self._wire.subscribe(inbox, self._take)
        return inbox

    async def _silence(self) -> None:
        end, self._end_subscription = self._end_subscription, None
        if end is not None:
            await end()

    def _guard(self) -> None:
        if self._repairing is None:
            self._repairing = asyncio.get_running_loop().create_task(self._keep())

    def _take(self, subject: str, reply: str, data: bytes, headers: bytes) -> None:
        self._heard_s = asyncio.get_running_loop().time()
        if headers and status_of(headers) == 100:
            last = int(RawHeaders(headers).get("Nats-Last-Consumer", "0"))
            if self._expected and last != self._expected - 1:
                self.suspect()
            return
        place = _place(reply)
        if place.consumer_seq == 1:
            self._expected = 1
        if place.consumer_seq != self._expected:
            if self._expected:
                self.suspect()
            return
        self._expected += 1
        self._hand_on(subject, reply, data, headers, place)

    def _hand_on(
        self, subject: str, reply: str, data: bytes, headers: bytes, place: _Place
    ) -> None:
        raise NotImplementedError

    async def _start_over(self) -> None:
        raise NotImplementedError

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._stopped:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._broken.wait()
            except TimeoutError:
                if loop.time() - self._heard_s < 3 * HEARTBEAT_S:
                    continue
            self._broken.clear()
            self._expected = 0
            metrics.consumer_repairs.labels(self._name).inc()
            try:
                await self._start_over()
                self._heard_s = loop.time()
                failures = 0
            except BusError:
                self._broken.set()
                await asyncio.sleep(_STEP_BACK_S[min(failures, len(_STEP_BACK_S) - 1)])
                failures += 1

    async def stop(self) -> None:
        """Stop receiving; what is not acknowledged stays for the next consumer."""
        self._stopped = True
        if self._repairing is not None:
            self._repairing.cancel()
            await asyncio.gather(self._repairing, return_exceptions=True)
            self._repairing = None
        await self._silence()


@dataclass(frozen=True, slots=True)
class _NatsDelivery:
    stored: Stored
    redelivered: bool
    _reply: str
    _wire: Wire

    def ack(self) -> None:
        """Mark it done. While disconnected nothing is sent: it is then delivered again."""
        try:
            self._wire.publish(self._reply, b"+ACK")
        except BusUnavailable:
            metrics.bus_unsent.inc()

    async def ack_sync(self, *, timeout_s: float = 2.0) -> None:
        _, headers = await self._wire.ask(self._reply, b"+ACK", timeout_s=timeout_s)
        if headers and status_of(headers) == 503:
            raise BusUnavailable("nobody leads the consumer")


class DurableConsumer(_PushConsumer):
    """The one receiver of a durable consumer, until another takes it over."""

    def __init__(
        self,
        wire: Wire,
        api: Api,
        stream: str,
        durable: str,
        filter_subject: str,
        *,
        handler: Callable[[Delivery], None],
        ack_wait_s: float,
        max_pending: int,
    ) -> None:
        super().__init__(wire, api, durable)
        self._stream = stream
        self._durable = durable
        self._filter = filter_subject
        self._handler = handler
        self._ack_wait_s = ack_wait_s
        self._max_pending = max_pending
        self._inbox = ""

    async def take_over(self) -> None:
        """Replace whoever received until now; everything unacknowledged comes, from the oldest.

        The consumer is deleted and made anew: the server refuses to redirect a bound one.
        """
        for _ in range(_TAKE_OVER_TRIES):
            floor = await self._floor()
            if floor is not None:
                await self._forget()
            if await self._create(floor or 0):
                self._guard()
                return
        raise BusUnavailable(f"others keep taking {self._durable}")

    async def _floor(self) -> int | None:
        info = await self._info()
        return None if info is None else int(info["ack_floor"]["stream_seq"])

    async def _info(self) -> dict[str, Any] | None:
        try:
            return await self._api(f"CONSUMER.INFO.{self._stream}.{self._durable}", None)
        except Refusal as refusal:
            if refusal.err_code in NOT_FOUND:
                return None
            raise

    async def _forget(self) -> None:
        try:
            await self._api(f"CONSUMER.DELETE.{self._stream}.{self._durable}", None)
        except Refusal as refusal:
            if refusal.err_code not in NOT_FOUND:
                raise

    async def _create(self, floor: int) -> bool:
        """Create it for a new inbox; False if somebody else was faster."""
        self._inbox = await self._listen()
        config = durable_config(
            self._durable,
            self._filter,
            self._inbox,
            ack_wait_s=self._ack_wait_s,
            max_pending=self._max_pending,
        )
        info = await self._api(f"STREAM.INFO.{self._stream}", None)
        if floor and info["config"]["retention"] == "limits":
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": floor + 1}
        subject = f"CONSUMER.CREATE.{self._stream}.{self._durable}.{self._filter}"
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        try:
            await self._api(subject, body)
        except Refusal as refusal:
            if refusal.err_code in _TAKEN:
                return False
            raise
        return True

    async def _start_over(self) -> None:
        """Receive again; one that another owner listens to is left alone, and looked at again:
        whoever holds the lease is right, and the other will be stopped."""
        info = await self._info()
        if info is None:
            await self._create(0)
        elif info["config"]["deliver_subject"] == self._inbox:
            await self._api(f"CONSUMER.RESET.{self._stream}.{self._durable}", None)
            if self._expected == 0:
                self._expected = 1
        elif not info.get("push_bound"):
            await self.take_over()  # whoever took it is gone, and we were not told to stop

    def _hand_on(
        self, subject: str, reply: str, data: bytes, headers: bytes, place: _Place
    ) -> None:
        fields = RawHeaders(headers) if headers else None
        stored = Stored(subject, data, place.stream_seq, fields)
        self._handler(_NatsDelivery(stored, place.deliveries > 1, reply, self._wire))


class LeaseWatch(_PushConsumer):
    """Every change of the keys under a pattern, beginning with their present state."""

    def __init__(
        self,
        wire: Wire,
        api: Api,
        bucket: str,
        pattern: str,
        handler: Callable[[str, LeaseEntry], None],
    ) -> None:
        super().__init__(wire, api, f"watch {pattern}")
        self._bucket = bucket
        self._prefix = f"$KV.{bucket}."
        self._pattern = pattern
        self._handler = handler

    async def begin(self) -> None:
        """Start watching."""
        await self._start_over()
        self._guard()

    async def _start_over(self) -> None:
        inbox = await self._listen()
        config = watch_config(self._prefix + self._pattern, inbox)
        stream = f"KV_{self._bucket}"
        await self._api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": config})

    def _hand_on(
        self, subject: str, _reply: str, data: bytes, headers: bytes, place: _Place
    ) -> None:
        gone = is_tombstone(RawHeaders(headers)) if headers else False
        entry = LeaseEntry(None if gone else data, place.stream_seq)
        self._handler(subject[len(self._prefix) :], entry)
