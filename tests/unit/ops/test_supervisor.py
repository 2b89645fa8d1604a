"""The supervisor's decisions, one by one."""

import pytest

from contracts.errors import IllegalMessage
from ops.supervision.machine import Supervisor
from ops.supervision.state import (
    AllReady,
    AnnounceGone,
    BecameReady,
    Begin,
    ChildSpec,
    Died,
    Exited,
    Finished,
    GaveUp,
    Kill,
    Policy,
    RestartDue,
    RestartLater,
    Spawn,
    Stop,
    StopOverdue,
    Terminate,
)

NATS = ChildSpec("nats", stage=0, rank=0, stop_ms=5)
GPU = ChildSpec("gpu", stage=1, rank=1, stop_ms=7, gone=True)
EDGE = ChildSpec("edge", stage=1, rank=2, stop_ms=9)


def ready_stack() -> Supervisor:
    supervisor = Supervisor([NATS, GPU, EDGE], Policy(deaths_max=2, delays_ms=(0, 100)))
    supervisor.handle(Begin(), 0)
    for name in ("nats", "gpu", "edge"):
        supervisor.handle(BecameReady(name, 1), 0)
    return supervisor


def test_begin_spawns_only_the_first_stage() -> None:
    supervisor = Supervisor([NATS, GPU, EDGE])
    assert supervisor.handle(Begin(), 0) == (Spawn("nats", 1),)
    assert supervisor.handle(BecameReady("nats", 1), 0) == (Spawn("gpu", 1), Spawn("edge", 1))
    assert supervisor.handle(BecameReady("gpu", 1), 0) == ()
    assert supervisor.handle(BecameReady("edge", 1), 0) == (AllReady(),)


def test_a_message_before_begin_or_about_a_stranger_is_refused() -> None:
    supervisor = Supervisor([NATS])
    with pytest.raises(IllegalMessage):
        supervisor.handle(Stop(), 0)
    supervisor.handle(Begin(), 0)
    with pytest.raises(IllegalMessage):
        supervisor.handle(Begin(), 0)
    with pytest.raises(IllegalMessage):
        supervisor.handle(BecameReady("redis", 1), 0)


def test_a_dead_worker_is_killed_announced_and_restarted_at_once() -> None:
    effects = ready_stack().handle(Exited("gpu", 1, -9), 10)
    assert effects == (
        Kill("gpu", 1),
        AnnounceGone("gpu"),
        Died("gpu", -9, 0),
        RestartLater("gpu", 1, 0),
    )


def test_a_restart_is_due_once() -> None:
    supervisor = ready_stack()
    supervisor.handle(Exited("edge", 1, 1), 10)
    assert supervisor.handle(RestartDue("edge", 1), 10) == (Spawn("edge", 2, again=True),)
    assert supervisor.handle(RestartDue("edge", 1), 10) == ()


def test_messages_about_an_earlier_process_have_no_effect() -> None:
    supervisor = ready_stack()
    supervisor.handle(Exited("edge", 1, 1), 10)
    supervisor.handle(RestartDue("edge", 1), 10)
    assert supervisor.handle(Exited("edge", 1, 1), 11) == ()
    assert supervisor.handle(BecameReady("edge", 1), 11) == ()


def test_too_many_deaths_within_the_period_end_the_stack_in_order() -> None:
    supervisor = ready_stack()
    for generation in (1, 2):
        supervisor.handle(Exited("edge", generation, -6), 10)
        supervisor.handle(RestartDue("edge", generation), 10)
        supervisor.handle(BecameReady("edge", generation + 1), 10)
    assert supervisor.handle(Exited("edge", 3, -6), 10) == (
        Kill("edge", 3),
        GaveUp("edge", -6, 3),
        Terminate("gpu", 1, 7),
    )
    supervisor.handle(Exited("gpu", 1, 0), 11)
    assert supervisor.handle(Exited("nats", 1, 0), 12)[-1] == Finished(1)


def test_a_child_that_never_became_ready_is_given_up_after_three_failures() -> None:
    supervisor = Supervisor([NATS])
    supervisor.handle(Begin(), 0)
    for generation in (1, 2):
        supervisor.handle(Exited("nats", generation, 1), generation * 100_000)
        supervisor.handle(RestartDue("nats", generation), generation * 100_000)
    effects = supervisor.handle(Exited("nats", 3, 1), 300_000)
    assert effects[1:] == (GaveUp("nats", 1, 1), Finished(1))


def test_a_child_that_was_ready_is_tried_on_while_it_does_not_die_too_often() -> None:
    supervisor = Supervisor([NATS])
    supervisor.handle(Begin(), 0)
    supervisor.handle(BecameReady("nats", 1), 0)
    for generation in range(1, 9):
        effects = supervisor.handle(Exited("nats", generation, 1), generation * 100_000)
        assert not any(isinstance(effect, GaveUp) for effect in effects)
        supervisor.handle(RestartDue("nats", generation), generation * 100_000)


def test_a_hopeless_exit_is_not_tried_again() -> None:
    supervisor = Supervisor([NATS])
    supervisor.handle(Begin(), 0)
    effects = supervisor.handle(Exited("nats", 1, 2, hopeless=True), 1)
    assert GaveUp("nats", 2, 1) in effects


def test_stop_ends_by_rank_and_finishes_with_success() -> None:
    supervisor = ready_stack()
    assert supervisor.handle(Stop(), 0) == (Terminate("edge", 1, 9),)
    assert supervisor.handle(Exited("edge", 1, 0), 1) == (
        Kill("edge", 1),
        Terminate("gpu", 1, 7),
    )
    assert supervisor.handle(Exited("gpu", 1, 0), 2) == (
        Kill("gpu", 1),
        AnnounceGone("gpu"),
        Terminate("nats", 1, 5),
    )
    assert supervisor.handle(Exited("nats", 1, 0), 3) == (Kill("nats", 1), Finished(0))


def test_an_overdue_end_is_forced_and_a_timely_one_is_not() -> None:
    supervisor = ready_stack()
    supervisor.handle(Stop(), 0)
    assert supervisor.handle(StopOverdue("edge", 1), 9) == (Kill("edge", 1),)
    supervisor.handle(Exited("edge", 1, -9), 9)
    assert supervisor.handle(StopOverdue("edge", 1), 10) == ()


def test_a_second_stop_kills_whatever_lives() -> None:
    supervisor = ready_stack()
    supervisor.handle(Stop(), 0)
    assert supervisor.handle(Stop(), 0) == (Kill("nats", 1), Kill("gpu", 1), Kill("edge", 1))


def test_a_stop_during_a_wait_for_a_restart_spawns_nothing_more() -> None:
    supervisor = Supervisor([NATS])
    supervisor.handle(Begin(), 0)
    supervisor.handle(Exited("nats", 1, 1), 0)
    assert supervisor.handle(Stop(), 0) == (Finished(0),)
    assert supervisor.handle(RestartDue("nats", 1), 0) == ()
