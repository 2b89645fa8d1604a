"""The scheduler machine, decision by decision."""

from typing import TypeVar

import msgspec
import pytest

from actors.scheduler.config import SchedulerConfig, TierConfig
from actors.scheduler.machine import SchedulerMachine
from actors.scheduler.state import (
    Answer,
    Asked,
    Broadcast,
    CheckClosed,
    ClosedChecked,
    Effect,
    EndFailed,
    EndRun,
    EndStored,
    Heard,
    Notify,
    RunSubmitted,
    SchedulerMessage,
    Send,
    Settle,
    Tick,
)
from contracts.log import CLOSING_ATTEMPT
from contracts.runs import RunOutcome, RunSpec, Sampling, Tier, Usage
from contracts.scheduling import (
    AbortRun,
    CancelQueued,
    CancelTaken,
    DescribePool,
    DropRun,
    RunBegan,
    RunList,
    RunningRun,
    RunRejected,
    RunSettled,
    StartRun,
    WatchRuns,
    WorkerGone,
    WorkerReport,
    WorkerState,
)

E = TypeVar("E")


def spec(run_id: str, tier: Tier = "free", chat_id: str | None = "chat") -> RunSpec:
    return RunSpec(
        run_id=run_id,
        pool="default",
        model="m",
        user_id="user",
        tier=tier,
        chat_id=chat_id,
        prompt_tokens=(1, 2, 3),
        sampling=Sampling(max_tokens=5),
        submitted_at_ms=0,
    )


class Pool:
    """A machine after its listening time, with workers that report on command."""

    def __init__(self, *, term: int = 3, listening: bool = False, **config: object) -> None:
        self.config = SchedulerConfig(
            pool="default",
            model="m",
            context_length=64,
            **config,  # type: ignore[arg-type]
        )
        self.machine = SchedulerMachine(self.config, term, 0)
        self.now_ms = 0 if listening else 1_000
        self.numbers: dict[str, int] = {}
        self.deliveries = 0
        self.started: dict[str, tuple[str, int]] = {}

    def tell(self, message: SchedulerMessage) -> list[Effect]:
        effects = self.machine.handle(message, self.now_ms)
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.command, StartRun):
                command = effect.command
                self.started[command.spec.run_id] = (effect.worker, command.attempt)
        return effects

    def submit(self, run_id: str, *, redelivered: bool = False, **kw: object) -> list[Effect]:
        self.deliveries += 1
        submitted = RunSubmitted(spec(run_id, **kw), self.deliveries, redelivered)  # type: ignore[arg-type]
        return self.tell(submitted)

    def report(
        self,
        worker: str = "gpu_a",
        *,
        slots: int = 2,
        state: WorkerState = "ready",
        runs: dict[str, int] | None = None,
        incarnation: int = 1,
        seen: int | None = None,
    ) -> list[Effect]:
        self.numbers[worker] = self.numbers.get(worker, 0) + 1
        lines = []
        for run_id, tokens in (runs or {}).items():
            attempt = self.started.get(run_id, ("", 0))[1]
            line = RunningRun(run_id=run_id, attempt=attempt, tokens=tokens, started=tokens > 0)
            lines.append(line)
        top = max((attempt for _, attempt in self.started.values()), default=0)
        report = WorkerReport(
            worker=worker,
            pool="default",
            model="m",
            incarnation=incarnation,
            number=self.numbers[worker],
            state=state,
            slots=slots,
            context_length=64,
            engine="sim",
            runs=tuple(lines),
            seen=top if seen is None else seen,
        )
        return self.tell(Heard(report))

    def settle(self, run_id: str, outcome: RunOutcome | None) -> list[Effect]:
        worker, attempt = self.started[run_id]
        settled = RunSettled(run_id=run_id, attempt=attempt, worker=worker, outcome=outcome)
        return self.tell(Heard(settled))

    def tick(self, ms: int = 50) -> list[Effect]:
        self.now_ms += ms
        return self.tell(Tick())


def of(kind: type[E], effects: list[Effect]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def starts(effects: list[Effect]) -> list[tuple[str, str]]:
    return [
        (send.worker, send.command.spec.run_id)
        for send in of(Send, effects)
        if isinstance(send.command, StartRun)
    ]


STOPPED = RunOutcome(finish_reason="stop")


def test_submit_with_a_free_slot_is_dispatched_at_once_and_reads_nothing() -> None:
    pool = Pool()
    pool.report()
    effects = pool.submit("run_1")
    (send,) = of(Send, effects)
    assert isinstance(send.command, StartRun)
    assert send.command.expect_epoch == 0
    assert send.command.attempt == (3 << 20) + 1
    assert not of(Notify, effects)


def test_attempt_of_a_very_late_term_is_below_a_closing_claim() -> None:
    centuries = 1 << 40
    pool = Pool(term=centuries)
    pool.report()
    (send,) = of(Send, pool.submit("run_1"))
    assert isinstance(send.command, StartRun)
    assert send.command.attempt < CLOSING_ATTEMPT


def test_submit_redelivered_run_may_have_been_claimed() -> None:
    pool = Pool()
    pool.report()
    (send,) = of(Send, pool.submit("run_1", redelivered=True))
    assert isinstance(send.command, StartRun) and send.command.expect_epoch is None


def test_submit_from_before_this_scheduler_may_have_been_claimed() -> None:
    pool = Pool()
    pool.machine = SchedulerMachine(pool.config, 3, 500)
    pool.report()
    pool.now_ms = 2_000
    (send,) = of(Send, pool.submit("run_1"))
    assert isinstance(send.command, StartRun) and send.command.expect_epoch is None


def test_submit_without_a_slot_waits_and_says_where() -> None:
    pool = Pool()
    pool.report(slots=1)
    pool.submit("run_1")
    (notice,) = of(Notify, pool.submit("run_2"))
    assert notice.event.position == 1
    (third,) = of(Notify, pool.submit("run_3"))
    assert third.event.position == 2
    assert third.event.eta_ms == 2 * pool.config.default_service_ms


def test_settled_run_is_acknowledged_and_its_slot_given_on() -> None:
    pool = Pool()
    pool.report(slots=1)
    pool.submit("run_1")
    pool.submit("run_2")
    effects = pool.settle("run_1", STOPPED)
    assert of(Settle, effects) == [Settle(1)]
    assert starts(effects) == [("gpu_a", "run_2")]


def test_dispatch_prefers_the_emptier_worker() -> None:
    pool = Pool()
    pool.report("gpu_a", slots=2)
    pool.report("gpu_b", slots=2)
    placed = [worker for i in range(4) for worker, _ in starts(pool.submit(f"run_{i}"))]
    assert placed == ["gpu_a", "gpu_b", "gpu_a", "gpu_b"]


def test_tiers_share_by_weight_and_serve_in_order_within() -> None:
    pool = Pool()
    pool.report(slots=1)
    pool.submit("run_0")
    for i in range(30):
        pool.submit(f"run_f{i}", tier="free")
        pool.submit(f"run_p{i}", tier="paid")
    order: list[str] = []
    current = "run_0"
    for _ in range(22):
        ((_, current),) = starts(pool.settle(current, STOPPED))
        order.append(current)
    paid = [run for run in order if run.startswith("run_p")]
    assert paid == [f"run_p{i}" for i in range(21)]
    assert [run for run in order if run.startswith("run_f")] == ["run_f0"]


@pytest.mark.parametrize(
    ("workers", "slots", "left"), [(1, 8, 0), (1, 12, 3), (1, 16, 4), (3, 12, 6), (4, 48, 16)]
)
def test_places_are_left_to_the_best_tier_while_it_is_in_use(
    workers: int, slots: int, left: int
) -> None:
    pool = Pool()
    for number in range(workers):
        pool.report(f"gpu_{number}", slots=slots)
    pool.submit("paid_0", tier="paid")
    for number in range(workers * slots):
        pool.submit(f"free_{number}")
    assert len(pool.machine._pool.order) == 1 + left
    assert [len(starts(pool.submit(f"paid_{n}", tier="paid"))) for n in range(1, left + 1)] == (
        [1] * left
    )


def test_nothing_is_kept_vacant_for_a_tier_that_nobody_uses() -> None:
    pool = Pool()
    pool.report(slots=12)
    for number in range(12):
        assert starts(pool.submit(f"free_{number}")) != []


def test_worker_gone_moves_its_runs_ahead_of_fresh_ones_under_a_new_attempt() -> None:
    pool = Pool()
    pool.report("gpu_a", slots=1)
    pool.submit("run_1")
    pool.submit("run_2")
    first = pool.started["run_1"][1]
    pool.tell(Heard(WorkerGone(worker="gpu_a")))
    effects = pool.report("gpu_b", slots=1)
    assert starts(effects) == [("gpu_b", "run_1")]
    (send,) = of(Send, effects)
    assert isinstance(send.command, StartRun)
    assert send.command.attempt > first
    assert send.command.expect_epoch is None


def test_worker_silent_too_long_is_lost() -> None:
    pool = Pool()
    pool.report("gpu_a")
    pool.submit("run_1")
    pool.now_ms += 400
    pool.report("gpu_b")
    effects = pool.tick(400)
    assert starts(effects) == [("gpu_b", "run_1")]


def test_worker_reborn_loses_what_the_old_one_had() -> None:
    pool = Pool()
    pool.report("gpu_a", slots=1)
    pool.submit("run_1")
    effects = pool.report("gpu_a", slots=1, incarnation=2)
    assert starts(effects) == [("gpu_a", "run_1")]


def test_worker_back_from_the_dead_is_told_to_drop_what_moved_on() -> None:
    pool = Pool()
    pool.report("gpu_a", slots=1)
    pool.submit("run_1")
    old = pool.started["run_1"]
    pool.report("gpu_b", slots=1)
    pool.tell(Heard(WorkerGone(worker="gpu_a")))
    pool.started["run_1"], new = old, pool.started["run_1"]
    effects = pool.report("gpu_a", slots=1, runs={"run_1": 5})
    assert of(Send, effects) == [Send("gpu_a", DropRun(run_id="run_1", attempt=old[1]))]
    assert new[0] == "gpu_b"


def test_three_lost_workers_end_the_run_openly() -> None:
    pool = Pool()
    pool.submit("run_1")
    effects: list[Effect] = []
    for i in range(3):
        pool.report(f"gpu_{i}", slots=1)
        effects = pool.tell(Heard(WorkerGone(worker=f"gpu_{i}")))
    (end,) = of(EndRun, effects)
    assert end.outcome.error is not None and end.outcome.error.code == "worker_lost"
    assert of(Settle, pool.tell(EndStored("run_1"))) == [Settle(1)]


def test_end_that_failed_is_repeated_and_only_then_settled() -> None:
    pool = Pool()
    pool.submit("run_1")
    pool.tell(Asked(CancelQueued(run_id="run_1"), ""))
    assert not of(Settle, pool.tell(EndFailed("run_1")))
    assert len(of(EndRun, pool.tick(300))) == 1
    assert of(Settle, pool.tell(EndStored("run_1"))) == [Settle(1)]


def test_lost_start_is_sent_again_under_the_same_attempt() -> None:
    pool = Pool()
    pool.report("gpu_a")
    pool.submit("run_1")
    attempt = pool.started["run_1"][1]
    for _ in range(12):
        pool.now_ms += 90
        pool.report("gpu_a", seen=0)
    (send,) = of(Send, pool.tick())
    assert isinstance(send.command, StartRun) and send.command.attempt == attempt


def test_run_missing_from_a_report_is_checked_then_settled_or_moved() -> None:
    pool = Pool()
    pool.report("gpu_a")
    pool.submit("run_1")
    effects = pool.report("gpu_a", runs={})
    assert of(CheckClosed, effects) == [CheckClosed("run_1")]
    assert starts(pool.tell(ClosedChecked("run_1", closed=False))) == [("gpu_a", "run_1")]
    pool.report("gpu_a", runs={})
    assert of(Settle, pool.tell(ClosedChecked("run_1", closed=True))) == [Settle(1)]


def test_stalled_first_token_and_stalled_stream_are_deaths() -> None:
    pool = Pool(first_token_ms=2_000, token_gap_ms=1_000)
    pool.report("gpu_a")
    pool.submit("run_1")
    dropped = 0
    for _ in range(30):
        pool.now_ms += 90
        pool.report("gpu_a", runs={"run_1": 0})
        pool.report("gpu_b")
        dropped += len([s for s in of(Send, pool.tick(10)) if isinstance(s.command, DropRun)])
    assert dropped == 1


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_running_run_that_makes_progress_is_left_alone(reason: str) -> None:
    pool = Pool(first_token_ms=2_000, token_gap_ms=1_000)
    pool.report("gpu_a")
    pool.submit("run_1")
    for i in range(60):
        pool.now_ms += 90
        pool.report("gpu_a", runs={"run_1": i + 1})
        assert not of(Send, pool.tick(10))
    outcome = RunOutcome(finish_reason=reason)  # type: ignore[arg-type]
    assert of(Settle, pool.settle("run_1", outcome)) == [Settle(1)]


def test_rejected_run_goes_back_to_the_front_and_counts_no_loss() -> None:
    pool = Pool()
    pool.report("gpu_a")
    pool.submit("run_1")
    _, attempt = pool.started["run_1"]
    rejected = RunRejected(run_id="run_1", attempt=attempt, worker="gpu_a", reason="full")
    for _ in range(5):
        assert not pool.tell(Heard(rejected))
        assert starts(pool.tick()) == [("gpu_a", "run_1")]
        _, attempt = pool.started["run_1"]
        rejected = RunRejected(run_id="run_1", attempt=attempt, worker="gpu_a", reason="full")


def test_rejected_run_that_is_cancelled_ends_instead_of_going_back() -> None:
    pool = Pool()
    pool.report("gpu_a")
    pool.submit("run_1")
    worker, attempt = pool.started["run_1"]
    pool.tell(Asked(CancelQueued(run_id="run_1"), "me"))
    unknown = RunRejected(run_id="run_1", attempt=attempt, worker=worker, reason="unknown")
    (end,) = of(EndRun, pool.tell(Heard(unknown)))
    assert end.outcome.finish_reason == "cancelled"


def test_cancel_queued_ends_without_a_worker() -> None:
    pool = Pool()
    pool.submit("run_1")
    effects = pool.tell(Asked(CancelQueued(run_id="run_1"), "me"))
    assert of(Answer, effects) == [Answer("me", CancelTaken(known=True, state="cancelling"))]
    (end,) = of(EndRun, effects)
    assert end.outcome.finish_reason == "cancelled"
    assert starts(pool.report("gpu_a")) == []


def test_cancel_running_aborts_until_settled() -> None:
    pool = Pool()
    pool.report("gpu_a")
    pool.submit("run_1")
    worker, attempt = pool.started["run_1"]
    abort = Send(worker, AbortRun(run_id="run_1", attempt=attempt))
    assert abort in pool.tell(Asked(CancelQueued(run_id="run_1"), "me"))
    assert abort in pool.tick(250)
    outcome = RunOutcome(finish_reason="cancelled")
    assert of(Settle, pool.settle("run_1", outcome)) == [Settle(1)]


def test_cancel_whose_worker_dies_ends_cancelled_not_requeued() -> None:
    pool = Pool()
    pool.report("gpu_a")
    pool.submit("run_1")
    pool.tell(Asked(CancelQueued(run_id="run_1"), "me"))
    (end,) = of(EndRun, pool.tell(Heard(WorkerGone(worker="gpu_a"))))
    assert end.outcome.finish_reason == "cancelled"


def test_cancel_that_a_worker_ignores_is_ended_over_its_head() -> None:
    pool = Pool(settle_ms=1_000)
    pool.report("gpu_a")
    pool.submit("run_1")
    pool.tell(Asked(CancelQueued(run_id="run_1"), "me"))
    ends: list[EndRun] = []
    for _ in range(15):
        pool.now_ms += 90
        pool.report("gpu_a", runs={"run_1": 3})
        ends += of(EndRun, pool.tick(10))
    assert [end.outcome.finish_reason for end in ends] == ["cancelled"]


def test_cancel_ahead_of_its_run_ends_it_on_arrival() -> None:
    pool = Pool()
    pool.report("gpu_a")
    effects = pool.tell(Asked(CancelQueued(run_id="run_1"), "me"))
    assert of(Answer, effects) == [Answer("me", CancelTaken(known=False))]
    effects = pool.submit("run_1")
    assert starts(effects) == []
    assert of(EndRun, effects)[0].outcome.finish_reason == "cancelled"


def test_queue_at_its_limit_refuses_openly_with_a_wait() -> None:
    pool = Pool(queue_max=2)
    pool.report(slots=1)
    for i in range(3):
        pool.submit(f"run_{i}")
    (end,) = of(EndRun, pool.submit("run_3"))
    assert end.outcome.error is not None
    assert end.outcome.error.code == "at_capacity"
    assert (end.outcome.error.retry_after_ms or 0) > 0


def test_takeover_listens_adopts_what_runs_and_dispatches_the_rest() -> None:
    old = Pool(term=3)
    old.report("gpu_a", slots=2)
    old.submit("run_1")
    new = Pool(term=9, listening=True)
    new.started = dict(old.started)
    assert not starts(new.submit("run_1", redelivered=True))
    assert not starts(new.submit("run_2", redelivered=True))
    assert not starts(new.report("gpu_a", runs={"run_1": 3}))
    sent: list[tuple[str, str]] = []
    for _ in range(12):
        new.now_ms += 90
        sent += starts(new.report("gpu_a", runs=dict.fromkeys(new.started, 4)))
        sent += starts(new.tick(10))
    assert sent == [("gpu_a", "run_2")]
    assert new.started["run_2"][1] > old.started["run_1"][1]
    assert of(Settle, new.settle("run_1", STOPPED)) == [Settle(1)]


def test_takeover_listens_from_when_it_can_hear_however_long_it_took_to_restore() -> None:
    pool = Pool(term=9, listening=True, recovery_ms=400)
    pool.now_ms = 5_000
    pool.machine.listen(5_000)
    assert not starts(pool.submit("run_1", redelivered=True))
    pool.now_ms = 5_390
    assert not starts(pool.report("gpu_a"))
    sent = [start for _ in range(6) for start in starts(pool.tick(50))]
    assert sent == [("gpu_a", "run_1")]


def test_takeover_claims_no_log_before_the_workers_have_said_what_they_write() -> None:
    pool = Pool(term=9, listening=True)
    assert not of(Notify, pool.submit("run_1", redelivered=True))
    assert not of(Notify, pool.submit("run_2"))
    assert not of(Notify, pool.tick(50))
    told = [notify for _ in range(60) for notify in of(Notify, pool.tick(50))]
    assert {notify.run_id for notify in told} == {"run_1", "run_2"}


def test_takeover_drops_a_run_that_nobody_knows_any_more() -> None:
    pool = Pool()
    pool.started["run_old"] = ("gpu_a", 17)
    dropped: list[Send] = []
    for _ in range(30):
        pool.now_ms += 90
        dropped += of(Send, pool.report("gpu_a", runs={"run_old": 3}))
    assert dropped[0] == Send("gpu_a", DropRun(run_id="run_old", attempt=17))


def test_late_words_about_an_older_attempt_change_nothing() -> None:
    pool = Pool()
    pool.report("gpu_a", slots=1)
    pool.submit("run_1")
    worker, attempt = pool.started["run_1"]
    pool.report("gpu_b", slots=1)
    pool.tell(Heard(WorkerGone(worker="gpu_a")))
    old = RunSettled(run_id="run_1", attempt=attempt, worker=worker, outcome=STOPPED)
    assert not of(Settle, pool.tell(Heard(old)))
    began = RunBegan(run_id="run_1", attempt=attempt, worker=worker)
    assert not pool.tell(Heard(began))


def test_status_says_unhealthy_without_workers_and_admits_with_them() -> None:
    pool = Pool()
    (status,) = of(Broadcast, pool.tick())
    assert not status.status.healthy and not status.status.admit["paid"]
    assert status.status.retry_after_ms > 0
    pool.report()
    (status,) = of(Broadcast, pool.tick())
    assert status.status.healthy and all(status.status.admit.values())


def test_describe_lists_workers_and_the_queue_in_its_order() -> None:
    pool = Pool()
    pool.report(slots=1)
    for run_id in ("run_1", "run_2", "run_3"):
        pool.submit(run_id)
    (answer,) = of(Answer, pool.tell(Asked(DescribePool(), "me")))
    assert isinstance(answer.body, RunList)
    assert [(r.run_id, r.state, r.position) for r in answer.body.runs] == [
        ("run_1", "dispatched", 0),
        ("run_2", "queued", 1),
        ("run_3", "queued", 2),
    ]
    assert [w.worker for w in answer.body.workers] == ["gpu_a"]


def test_status_is_not_told_before_the_workers_had_time_to_report() -> None:
    pool = Pool(listening=True)
    assert not of(Broadcast, pool.tick())
    pool.report()
    assert not of(Broadcast, pool.tick())
    (status,) = of(Broadcast, pool.tick(pool.config.recovery_ms))
    assert status.status.healthy and status.status.admit["free"]


def test_run_that_every_worker_rejects_for_ever_ends_openly() -> None:
    pool = Pool(rejections_max=3)
    pool.report("gpu_a")
    pool.submit("run_1")
    ends: list[EndRun] = []
    for _ in range(12):
        worker, attempt = pool.started["run_1"]
        no = RunRejected(run_id="run_1", attempt=attempt, worker=worker, reason="another model")
        ends += of(EndRun, pool.tell(Heard(no)))
        pool.report("gpu_a")
        ends += of(EndRun, pool.tick())
    assert [end.outcome.finish_reason for end in ends] == ["error"]


def test_tier_that_lent_its_place_takes_it_back_from_a_run_without_output() -> None:
    tiers = {"paid": TierConfig(100, 60_000, slots=1), "free": TierConfig(10, 60_000)}
    pool = Pool(tiers=tiers)
    pool.report(slots=2)
    pool.submit("run_f1")
    pool.submit("run_f2")
    pool.report(slots=2, runs={"run_f1": 3, "run_f2": 0})
    pool.submit("run_p", tier="paid")
    effects = pool.tick()
    drops = [send for send in of(Send, effects) if isinstance(send.command, DropRun)]
    assert [send.command.run_id for send in drops] == ["run_f2"]  # type: ignore[union-attr]
    assert starts(effects) == [("gpu_a", "run_p")]
    assert starts(pool.settle("run_p", STOPPED)) == [("gpu_a", "run_f2")]


def test_place_that_is_kept_and_not_lent_stays_free() -> None:
    tiers = {
        "paid": TierConfig(100, 60_000, slots=1, lendable=False),
        "free": TierConfig(10, 60_000),
    }
    pool = Pool(tiers=tiers)
    pool.report(slots=2)
    assert starts(pool.submit("run_f1")) == [("gpu_a", "run_f1")]
    assert starts(pool.submit("run_f2")) == []
    assert starts(pool.submit("run_p", tier="paid")) == [("gpu_a", "run_p")]


def test_worker_that_dies_again_gets_nothing_while_another_lives() -> None:
    pool = Pool()
    pool.report("gpu_a", slots=1)
    pool.report("gpu_b", slots=1)
    for incarnation in (2, 3):
        pool.now_ms += 1_500
        pool.report("gpu_b", slots=1)
        pool.report("gpu_a", slots=1, incarnation=incarnation)
    assert starts(pool.submit("run_1")) == [("gpu_b", "run_1")]
    assert starts(pool.submit("run_2")) == []
    effects = pool.tell(Heard(WorkerGone(worker="gpu_b")))
    assert starts(effects) == [("gpu_a", "run_1")]


def test_worker_whose_engine_stalls_twice_is_left_alone() -> None:
    pool = Pool()
    pool.report("gpu_a", slots=3)
    pool.submit("run_1")
    for _ in range(2):
        pool.report("gpu_a", slots=3, runs={"run_1": 0})
        pool.now_ms += 60_001
        pool.report("gpu_a", slots=3, runs={"run_1": 0})
        assert starts(pool.tick()) == [("gpu_a", "run_1")]
    pool.report("gpu_b", slots=1)
    assert starts(pool.submit("run_2")) == [("gpu_b", "run_2")]
    assert starts(pool.submit("run_3")) == []


def test_watched_run_is_told_its_place_when_it_changes_and_once_a_second() -> None:
    pool = Pool(notices_max=0)
    pool.report(slots=1)
    for number in range(4):
        assert not of(Notify, pool.submit(f"run_{number}"))
    first = of(Notify, pool.tell(Asked(WatchRuns(run_ids=("run_3", "run_unknown")), "")))
    assert [(n.run_id, n.event.position) for n in first] == [("run_3", 3)]
    pool.settle("run_0", STOPPED)
    told = []
    for _ in range(19):
        pool.report(slots=1, runs={"run_1": 1})
        told += of(Notify, pool.tick())
    assert [(n.run_id, n.event.position) for n in told] == [("run_3", 2)]


def test_watched_run_that_nobody_watches_any_more_is_told_nothing() -> None:
    pool = Pool(notices_max=0, watch_ms=1_000)
    pool.report(slots=1)
    for number in range(4):
        pool.submit(f"run_{number}")
    pool.tell(Asked(WatchRuns(run_ids=("run_3",)), ""))
    pool.now_ms += 2_000
    pool.settle("run_0", STOPPED)
    assert not [notify for _ in range(40) for notify in of(Notify, pool.tick())]


def test_worker_that_claims_more_room_than_it_has_costs_no_run() -> None:
    pool = Pool()
    pool.report("gpu_a", slots=1_000)
    for number in range(5):
        pool.submit(f"run_{number}")
    for number in range(1, 5):
        worker, attempt = pool.started[f"run_{number}"]
        no = RunRejected(run_id=f"run_{number}", attempt=attempt, worker=worker, reason="full")
        pool.tell(Heard(no))
    pool.report("gpu_b", slots=8)
    pool.tell(Heard(WorkerGone(worker="gpu_a")))
    assert {worker for worker, _ in pool.started.values()} == {"gpu_b"}


def test_clock_that_jumps_back_and_forth_loses_and_doubles_nothing() -> None:
    pool = Pool()
    pool.report(slots=1)
    pool.submit("run_1")
    pool.submit("run_2")
    pool.now_ms -= 900
    pool.tick(0)
    pool.now_ms += 60_000
    pool.report(slots=1, runs={"run_1": 3})
    effects = pool.settle("run_1", STOPPED)
    assert of(Settle, effects) == [Settle(1)]
    assert starts(effects) == [("gpu_a", "run_2")]


def test_counts_that_are_late_doubled_or_fall_charge_each_token_once() -> None:
    pool = Pool()
    pool.report(slots=1)
    pool.submit("run_1")
    pool.submit("run_2")
    fair = pool.machine._pool.fair
    assert fair is not None
    for tokens in (3, 300, 200, 300, 0):
        pool.report(slots=1, runs={"run_1": tokens})
    outcome = RunOutcome(finish_reason="stop", usage=Usage(completion_tokens=310))
    pool.settle("run_1", outcome)
    pool.settle("run_1", outcome)
    pool.settle("run_2", RunOutcome(finish_reason="stop", usage=Usage(completion_tokens=10)))
    costs = pool.config.costs
    assert fair._tiers["free"].charged == costs.charge(6, 0, 320)


def test_ten_thousand_chats_of_one_user_do_not_hold_up_another() -> None:
    pool = Pool(queue_max=20_000)
    pool.report(slots=1)
    for number in range(10_000):
        pool.submit(f"run_{number}")
    light = RunSubmitted(msgspec.structs.replace(spec("run_light"), user_id="light"), 20_000)
    pool.tell(light)
    current = next(iter(pool.started))
    assert starts(pool.settle(current, STOPPED)) == [("gpu_a", "run_light")]
