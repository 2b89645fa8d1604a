"""Passwords: argon2id in threads, a bounded number at once."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from edge.config import PasswordCost
from edge.problems import refuse

R = TypeVar("R")


class Passwords:
    """Hashes and verifies. At most `concurrent` run, `waiting_max` wait; more are refused."""

    def __init__(self, cost: PasswordCost) -> None:
        self._hasher = PasswordHasher(
            time_cost=cost.time_cost, memory_cost=cost.memory_kib, parallelism=cost.lanes
        )
        self._threads = ThreadPoolExecutor(cost.concurrent, thread_name_prefix="argon2")
        self._limit = cost.concurrent + cost.waiting_max
        self._pending = 0
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """Return the encoded hash. Raises Refused (at capacity)."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Say whether `password` has this hash; without a hash it takes as long and fails, so
        that nobody can learn by timing which addresses have an account."""
        return await self._run(lambda: self._verify(encoded, password))

    def outdated(self, encoded: str | None) -> bool:
        """Say whether a hash was made at another cost than today's."""
        return encoded is not None and self._hasher.check_needs_rehash(encoded)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, encoded: str | None, password: str) -> bool:
        if encoded is None and self._decoy is None:
            self._decoy = self._hasher.hash("a decoy")
        try:
            self._hasher.verify(encoded or self._decoy or "", password)
        except (VerificationError, InvalidHashError):
            return False
        return encoded is not None

    async def _run(self, work: Callable[[], R]) -> R:
        if self._pending >= self._limit:
            raise refuse("at_capacity", "Too many people log in just now.", retry_after_ms=2_000)
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._pending -= 1
