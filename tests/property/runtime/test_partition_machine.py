"""Hosts that come and go: all partitions owned in the end, shares fair, moves few."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.runtime.partition_machine import (
    Acquire,
    Gained,
    HostSeen,
    OwnerSeen,
    PartitionMachine,
    PartitionMessage,
    Tick,
    Yielded,
    shares,
)

PARTITIONS = 16


class World:
    """Leases that are exact, views that are late."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now_ms = 0
        self.leases: dict[int, str | None] = dict.fromkeys(range(PARTITIONS))
        self.hosts: dict[str, PartitionMachine] = {}
        self.mail: list[tuple[int, str, PartitionMessage]] = []
        self.moves = 0

    def join(self, name: str) -> None:
        self.hosts[name] = PartitionMachine(name, PARTITIONS)
        for host in self.hosts:
            self.post(name, HostSeen(host, alive=True))
            self.post(host, HostSeen(name, alive=True))
        for partition, owner in self.leases.items():
            self.post(name, OwnerSeen(partition, owner))

    def leave(self, name: str) -> None:
        """Die: the leases expire, and so does the host's own."""
        del self.hosts[name]
        for host in self.hosts:
            self.post(host, HostSeen(name, alive=False))
        for partition, owner in list(self.leases.items()):
            if owner == name:
                self.lease(partition, None)

    def lease(self, partition: int, owner: str | None) -> None:
        self.leases[partition] = owner
        self.moves += owner is not None
        for host in self.hosts:
            self.post(host, OwnerSeen(partition, owner))

    def post(self, host: str, message: PartitionMessage) -> None:
        """Deliver later, in order for each host (a watch is one ordered stream)."""
        pending = [at for at, to, _ in self.mail if to == host]
        at_ms = max([self.now_ms + self.dice.choice([1, 5, 30]), *pending])
        self.mail.append((at_ms, host, message))

    def run(self, duration_ms: int) -> None:
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            self.now_ms += 5
            due = [item for item in self.mail if item[0] <= self.now_ms]
            self.mail = [item for item in self.mail if item[0] > self.now_ms]
            for _, host, message in due:
                self.hand(host, message)
            if self.now_ms % 500 == 0:
                for host in list(self.hosts):
                    self.hand(host, Tick())

    def hand(self, host: str, message: PartitionMessage) -> None:
        if host not in self.hosts:
            return
        machine = self.hosts[host]
        for effect in machine.handle(message, self.now_ms):
            if isinstance(effect, Acquire):
                if self.leases[effect.partition] is None:
                    self.lease(effect.partition, host)
                    self.post(host, Gained(effect.partition))
                else:
                    self.post(host, Yielded(effect.partition))
            else:
                assert self.leases[effect.partition] == host
                self.lease(effect.partition, None)
                self.post(host, Yielded(effect.partition))

    def check_settled(self) -> None:
        """Everything is owned, by those who know it, in fair shares."""
        counts = dict.fromkeys(self.hosts, 0)
        for owner in self.leases.values():
            assert owner in counts
            counts[owner] += 1
        assert max(counts.values()) - min(counts.values()) <= 1
        for name, machine in self.hosts.items():
            assert [p for p, owner in self.leases.items() if owner == name] == list(machine.held)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), changes=st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_partitions_are_all_owned_in_fair_shares_after_any_changes(
    seed: int, changes: list[int]
) -> None:
    world = World(seed)
    world.join("h0")
    for number in changes:
        name = f"h{number}"
        if name not in world.hosts:
            world.join(name)
        elif len(world.hosts) > 1:
            world.leave(name)
        world.run(world.dice.choice([50, 700, 3000]))
    world.run(12_000)
    world.check_settled()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), hosts=st.integers(1, 5))
def test_partitions_that_need_not_move_stay_when_a_host_joins(seed: int, hosts: int) -> None:
    world = World(seed)
    for number in range(hosts):
        world.join(f"h{number}")
    world.run(12_000)
    world.check_settled()
    world.moves = 0
    world.run(5000)
    assert world.moves == 0
    world.join("new")
    world.run(12_000)
    world.check_settled()
    assert world.moves <= PARTITIONS // (hosts + 1) + hosts + 1


@given(
    owned=st.dictionaries(st.text(min_size=1), st.integers(0, 40), min_size=1, max_size=9),
    partitions=st.integers(1, 100),
)
def test_shares_add_up_and_differ_by_one_at_most(owned: dict[str, int], partitions: int) -> None:
    quota = shares(owned, partitions)
    assert sum(quota.values()) == partitions
    assert max(quota.values()) - min(quota.values()) <= 1


def test_partition_that_was_lost_is_not_acquired_before_its_actors_have_stopped() -> None:
    machine = PartitionMachine("a", 1)
    machine.handle(Tick(), 0)
    machine.handle(Gained(0), 10)
    machine.handle(OwnerSeen(0, "a"), 20)
    assert machine.handle(OwnerSeen(0, None), 30) == ()
    assert machine.handle(Tick(), 10_000) == ()
    machine.handle(Yielded(0), 10_010)
    assert machine.handle(Tick(), 20_000) == (Acquire(0),)
