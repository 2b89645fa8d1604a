"""How a run's log is closed of which the streams have dropped what was told (ADR 0030)."""

import asyncio
from collections.abc import Awaitable, Callable

from actors.runtime.clock import SystemClock
from actors.runtime.memory_bus import MemoryBus, MemoryServer
from actors.runtime.token_log import BusTokenLog
from actors.session.effects import EffectRunner
from actors.session.state import CloseLog, RunClosed
from contracts.events import RunStarted
from contracts.ids import ENTROPY_BYTES, make_id
from contracts.log import ANEW_MIN, LogEntry
from contracts.runs import RunOutcome
from contracts.session import RunFinished
from ops.history.memory import MemoryHistory
from ops.streams import declare_streams

CLOCK = SystemClock()
CHAT = make_id("chat", 1, bytes(ENTROPY_BYTES))
LONG_AGO = make_id("run", 1, bytes(ENTROPY_BYTES))


def closed(text: str, write: Callable[[BusTokenLog], Awaitable[None]] | None = None) -> RunClosed:
    """Close the log of an old run whose worker says that it wrote `text`, up to event 8."""

    async def close() -> object:
        server = MemoryServer(CLOCK)
        bus: MemoryBus = await server.connect("test")
        await declare_streams(bus)
        log = BusTokenLog(bus, CLOCK)
        if write is not None:
            await write(log)
        hands = EffectRunner(
            CHAT, host_id="h", bus=bus, log=log, history=MemoryHistory(), clock=CLOCK
        )
        finished = RunFinished(
            run_id=LONG_AGO,
            chat_id=CHAT,
            epoch=77 if text else 0,
            next_seq=9 if text else 1,
            text=text,
            outcome=RunOutcome(finish_reason="stop"),
            model="m",
            message_id="a",
        )
        answer = await hands.perform(CloseLog(LONG_AGO, finished))
        await bus.close()
        return answer

    answer = asyncio.run(close())
    assert isinstance(answer, RunClosed)
    return answer


def test_end_of_a_dropped_log_follows_the_text_that_its_worker_told() -> None:
    answer = closed("told")
    assert (answer.text, answer.next_seq) == ("told", 9)


def test_end_of_a_dropped_log_without_text_has_a_number_that_nobody_knows() -> None:
    answer = closed("")
    assert answer.text == ""
    assert answer.next_seq > ANEW_MIN


def test_end_leaves_a_number_out_where_a_log_begun_anew_lacks_the_text() -> None:
    next_seq = 0

    async def begin_anew(log: BusTokenLog) -> None:
        nonlocal next_seq
        await log.claim(LONG_AGO, writer="w", attempt=2, expect_epoch=None)
        next_seq = (await log.read(LONG_AGO)).next_seq

    answer = closed("told", begin_anew)
    assert (answer.text, answer.next_seq) == ("told", next_seq + 1)


def test_text_of_a_log_begun_anew_is_what_it_says() -> None:
    async def begin_anew(log: BusTokenLog) -> None:
        writer = await log.claim(LONG_AGO, writer="w", attempt=2, expect_epoch=None)
        seq = (await log.read(LONG_AGO)).next_seq
        started = RunStarted(model="m", message_id="a")
        await writer.append(LogEntry(epoch=writer.epoch, seq=seq, events=(started,), tokens=(1, 2)))

    answer = closed("told", begin_anew)
    assert (answer.text, answer.tokens) == ("", 2)
