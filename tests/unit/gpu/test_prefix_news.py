"""What a worker says of its prefix cache and of the work before it."""

import pytest
from msgspec.structs import replace

from actors.gpu.protocol import Appended, BlocksChanged, Claimed, PublishFinished, Tick
from contracts.block_keys import prompt_keys
from contracts.ports.engine import BlocksRemoved, BlocksStored, EngineLoad
from contracts.scheduling import (
    PrefixChanged,
    ResendPrefixes,
    RunBegan,
    StartRun,
    WorkerReport,
)
from tests.unit.gpu.test_machine import Rig, _only, _spec, _told

PROMPT = tuple(range(70))
KEYS = prompt_keys(PROMPT)
STORED = BlocksStored(blocks=(1, 2), parent=None, tokens=PROMPT[:64], block_size=32)


def _start(rig: Rig, chat_id: str | None = "chat_1") -> None:
    spec = replace(_spec(chat_id=chat_id), prompt_tokens=PROMPT, block_keys=KEYS)
    rig.give(StartRun(spec=spec, attempt=1, expect_epoch=0))


def _tick(rig: Rig) -> tuple[list[PrefixChanged], WorkerReport]:
    told = _told(rig.give(Tick(EngineLoad())))
    assert isinstance(told[-1], WorkerReport)
    return told[:-1], told[-1]


def test_news_go_before_the_report_that_names_their_number() -> None:
    rig = Rig()
    news, report = _tick(rig)
    assert (news, report.prefixes, report.kv_tokens) == ([], 0, 1000)
    assert rig.give(BlocksChanged((STORED,))) == ()
    (first,), report = _tick(rig)
    assert (first.number, first.incarnation, first.stored) == (1, 7, KEYS)
    assert report.prefixes == 1
    rig.give(BlocksChanged((BlocksRemoved((2,)),)))
    (second,), report = _tick(rig)
    assert (second.number, second.removed, report.prefixes) == (2, KEYS[1:], 2)


def test_resend_is_answered_with_all_that_is_cached() -> None:
    rig = Rig()
    rig.give(BlocksChanged((STORED,)))
    (everything,) = _told(rig.give(ResendPrefixes()))
    assert (everything.number, everything.cleared, everything.stored) == (1, True, KEYS)
    assert _tick(rig)[0] == []


def test_report_counts_the_prompt_tokens_that_are_neither_computed_nor_cached() -> None:
    rig = Rig()
    rig.give(BlocksChanged((STORED,)))
    _start(rig)
    rig.start(run_id="run_2")
    assert _tick(rig)[1].pending_prefill == 70 - 64 + 3
    rig.say("a", 0, cached_tokens=64)
    assert _tick(rig)[1].pending_prefill == 3


@pytest.mark.parametrize("chat_id", ["chat_1", None])
def test_cached_tokens_of_the_engine_reach_the_scheduler(chat_id: str | None) -> None:
    rig = Rig()
    _start(rig, chat_id)
    rig.give(Claimed("run_1", 1, 5))
    rig.say("a", 0, cached_tokens=64)
    told = _told(rig.give(Appended("run_1", 1, 9)))
    assert [began.cached_tokens for began in told if isinstance(began, RunBegan)] == [64]


def test_finished_run_names_its_worker() -> None:
    rig = Rig().generating()
    rig.say("a", 0, finish="stop")
    stored = rig.give(Appended("run_1", 1, 9))
    assert _only(stored, PublishFinished).finished.worker == "gpu_1"
