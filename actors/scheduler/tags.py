"""What of a fair order outlives its scheduler: tags and open accounts, as they are stored. Pure."""

from collections.abc import Collection, Iterator, Mapping

from actors.scheduler.accounts import (
    Account,
    AccountState,
    Changes,
    TierState,
    UserState,
    stored,
)
from actors.scheduler.backlog import Backlog

_STEP = 1_000
"""So many users are restored in one step, some milliseconds long."""


class Tags:
    """Reads the tags and accounts of an order, which tells it what it changes, and restores the
    tags that an earlier one left.

    Args:
        tiers: the order's, by name.
        accounts: the order's, by run.
    """

    def __init__(self, tiers: Mapping[str, Backlog], accounts: Mapping[str, Account]) -> None:
        self._tiers = tiers
        self._accounts = accounts
        self._users: dict[tuple[str, str], None] | None = None
        self._runs: dict[str, None] = {}

    def track(self) -> None:
        """Remember what changes from now on, for `changes`."""
        self._users = {}

    def touch(self, tier: Backlog, user_id: str) -> None:
        """What is stored of this user has changed."""
        if self._users is not None:
            self._users[tier.name, user_id] = None

    def note(self, run_id: str) -> None:
        """This run's account was opened, changed or closed."""
        if self._users is not None:
            self._runs[run_id] = None

    def changes(self) -> Changes:
        """Return the present values of what has changed since the last call."""
        users = [self._user(*key) for key in self._users or ()]
        accounts, closed = [], []
        for run_id in self._runs:
            account = self._accounts.get(run_id)
            if account is None:
                closed.append(run_id)
            else:
                accounts.append(stored(run_id, account))
        if self._users is not None:
            self._users.clear()
        self._runs.clear()
        return Changes(users, accounts, closed)

    def _user(self, tier_name: str, user_id: str) -> UserState:
        tier = self._tiers[tier_name]
        user = tier.users.get(user_id)
        if user is None:
            return UserState(tier_name, user_id, tier.virtual, waiting=False)
        return UserState(tier_name, user_id, user.tag, waiting=bool(user.waiting))

    def tiers(self) -> list[TierState]:
        """Return the tags of the tiers."""
        return [
            TierState(t.name, t.weight, t.tag, t.rest, t.virtual, t.highest, t.charged, len(t) > 0)
            for t in self._tiers.values()
        ]

    def users(self) -> Iterator[UserState]:
        """Yield the tags of the users that are here now, each as it is when its turn comes."""
        keys = [(tier.name, user_id) for tier in self._tiers.values() for user_id in tier.users]
        return (self._user(*key) for key in keys)

    def accounts(self) -> Iterator[AccountState]:
        """Yield the open accounts of now, each as it is when its turn comes."""
        for run_id in list(self._accounts):
            account = self._accounts.get(run_id)
            if account is not None:
                yield stored(run_id, account)

    def restore(
        self,
        tiers: Mapping[str, TierState],
        users: Mapping[tuple[str, str], UserState],
        owners: Collection[tuple[str, str]],
    ) -> Iterator[None]:
        """Begin with the tags that an earlier scheduler left, in steps: it is done when the
        iterator is exhausted. `owners` have open accounts, by tier and user."""
        for known in tiers.values():
            tier = self._tiers.get(known.name)
            if tier is None:
                continue
            tier.tag, tier.charged = known.tag, known.charged
            tier.virtual, tier.highest = known.virtual, known.highest
            tier.rest = known.rest if known.weight == tier.weight else 0
            tier.resumed = known.waiting
        for number, (key, state) in enumerate(users.items(), 1):
            tier = self._tiers.get(state.tier)
            if tier is not None and (state.waiting or state.tag > tier.virtual or key in owners):
                tier.resume(state.user_id, state.tag, waiting=state.waiting)
            if number % _STEP == 0:
                yield
