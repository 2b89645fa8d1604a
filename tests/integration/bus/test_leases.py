"""The compare-and-set register with a time to live."""

import pytest

from contracts.errors import WrongSequence
from contracts.ports.bus import Bus, LeaseEntry
from tests.integration.bus.conftest import Connect
from tests.support.waiting import until


async def test_lease_of_a_new_key_has_revision_zero(leases: Bus, word: str) -> None:
    assert await leases.lease_get(word) == LeaseEntry(None, 0)


async def test_lease_put_is_a_compare_and_set(leases: Bus, word: str) -> None:
    first = await leases.lease_put(word, b"a", revision=0, ttl_s=5)
    assert await leases.lease_get(word) == LeaseEntry(b"a", first)
    with pytest.raises(WrongSequence):
        await leases.lease_put(word, b"b", revision=0, ttl_s=5)
    second = await leases.lease_put(word, b"a2", revision=first, ttl_s=5)
    assert second > first
    assert await leases.lease_get(word) == LeaseEntry(b"a2", second)


async def test_lease_delete_only_by_its_owner(leases: Bus, word: str) -> None:
    first = await leases.lease_put(word, b"a", revision=0, ttl_s=5)
    await leases.lease_delete(word, revision=first + 100)
    assert (await leases.lease_get(word)).value == b"a"
    await leases.lease_delete(word, revision=first)
    gone = await leases.lease_get(word)
    assert gone.value is None
    again = await leases.lease_put(word, b"b", revision=gone.revision, ttl_s=5)
    assert again > first


async def test_lease_expires_and_can_be_taken_at_the_marker(leases: Bus, word: str) -> None:
    seen: list[tuple[str, LeaseEntry]] = []
    watch = await leases.lease_watch(word, lambda key, entry: seen.append((key, entry)))
    first = await leases.lease_put(word, b"a", revision=0, ttl_s=1)
    await until(lambda: len(seen) >= 2)
    assert seen[0] == (word, LeaseEntry(b"a", first))
    assert seen[1][1].value is None
    entry = await leases.lease_get(word)
    assert entry.value is None
    assert await leases.lease_put(word, b"b", revision=entry.revision, ttl_s=1) > first
    await watch.stop()


async def test_watch_shows_live_keys_then_changes(connect: Connect, leases: Bus, word: str) -> None:
    watcher = await connect()
    first = await leases.lease_put(f"{word}.a", b"1", revision=0, ttl_s=9)
    seen: list[tuple[str, LeaseEntry]] = []
    watch = await watcher.lease_watch(f"{word}.*", lambda key, entry: seen.append((key, entry)))
    await until(lambda: len(seen) == 1)
    second = await leases.lease_put(f"{word}.b", b"2", revision=0, ttl_s=9)
    await leases.lease_delete(f"{word}.a", revision=first)
    await until(lambda: len(seen) == 3)
    assert [(k, e.value) for k, e in seen] == [
        (f"{word}.a", b"1"),
        (f"{word}.b", b"2"),
        (f"{word}.a", None),
    ]
    assert seen[1][1].revision == second
    await watch.stop()
    await leases.lease_delete(f"{word}.b", revision=second)
    assert len(seen) == 3
