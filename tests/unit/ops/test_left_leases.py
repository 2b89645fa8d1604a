"""Which leases a process of a role may leave behind."""

from contracts.subjects import SESSION_PARTITIONS
from ops.left_leases import leased_by
from ops.setting_table import Role


def test_a_host_leaves_its_own_lease_and_those_of_all_partitions() -> None:
    roles: tuple[Role, ...] = ("session", "summarizer")
    for role in roles:
        leases = dict(leased_by(role, "one", ["default"]))
        assert set(leases.values()) == {"one"}
        assert f"{role}-host.one" in leases
        partitions = {f"{role}.{number}" for number in range(SESSION_PARTITIONS)}
        assert set(leases) == partitions | {f"{role}-host.one"}


def test_a_scheduler_leaves_a_lease_a_pool_under_its_name_there() -> None:
    assert leased_by("scheduler", "s", ["default"]) == (("scheduler.default", "s"),)
    both = leased_by("scheduler", "s", ["fast", "capable"])
    assert both == (("scheduler.fast", "s-fast"), ("scheduler.capable", "s-capable"))


def test_who_holds_no_lease_leaves_none() -> None:
    assert leased_by("edge", "edge", ["default"]) == ()
    assert leased_by("gpu", "gpu-1", ["default"]) == ()
