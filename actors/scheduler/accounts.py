"""What dispatched runs were charged for; tags and charges as they are stored. Pure."""

from dataclasses import dataclass

import msgspec


@dataclass(slots=True)
class Account:
    """What a dispatched run was charged for. `output` tokens of it, cached or `uncached`
    prompt tokens; `running` while it is on a worker. `restored`: an earlier scheduler charged
    it, and whoever writes it now is not charged again."""

    tier: str
    user_id: str
    uncached: int
    cached: int
    output: int
    predicted: int
    running: bool = True
    restored: bool = False

    @property
    def empty(self) -> bool:
        """Whether all of the charge was given back."""
        return self.uncached + self.cached + self.output == 0


class TierState(msgspec.Struct, frozen=True, array_like=True):
    """A tier's tags, as they are stored."""

    name: str
    weight: int
    tag: int
    rest: int
    virtual: int
    highest: int
    charged: int
    waiting: bool


class UserState(msgspec.Struct, frozen=True, array_like=True):
    """A user's tag, as it is stored; `waiting`: runs of theirs waited."""

    tier: str
    user_id: str
    tag: int
    waiting: bool


class AccountState(msgspec.Struct, frozen=True, array_like=True):
    """What a dispatched run was charged for, as it is stored."""

    run_id: str
    tier: str
    user_id: str
    uncached: int
    cached: int
    output: int
    predicted: int


@dataclass(slots=True)
class Changes:
    """What has changed since it was asked for last."""

    users: list[UserState]
    accounts: list[AccountState]
    closed: list[str]

    def __bool__(self) -> bool:
        return bool(self.users or self.accounts or self.closed)


def stored(run_id: str, account: Account) -> AccountState:
    """Return an account in its stored form."""
    return AccountState(
        run_id,
        account.tier,
        account.user_id,
        account.uncached,
        account.cached,
        account.output,
        account.predicted,
    )
