"""The fair order: hierarchical start-time fair queueing with slack. Pure, integers.

Tier → user → the user's runs (ADR 0011; Goyal et al., SIGCOMM '96, for the tags). A dispatch
moves the tags of user and tier on by the run's predicted cost; what it really costs corrects
them, block by block beyond the prediction and to the unit at the end. A user's tag counts cost
(users weigh the same). A tier's tag counts cost × `SCALE` ÷ weight; what the division leaves
over is carried to the next charge, so no unit is lost: at any time
`tag · weight + rest = SCALE · charged`, but for the jumps of idle tiers to the virtual time.
"""

from collections.abc import Iterator, Mapping, Sequence

from actors.scheduler.accounts import Account, AccountState, TierState, UserState
from actors.scheduler.backlog import SCALE, Backlog, User
from actors.scheduler.config import TierConfig
from actors.scheduler.costs import Costs
from actors.scheduler.homing import Anywhere
from actors.scheduler.order import Choice, WorkerRoom
from actors.scheduler.places import first_runs, others_before, own_before
from actors.scheduler.selection import Patience, Placing, Selection
from actors.scheduler.state import Run
from actors.scheduler.tags import Tags

_LAST = 1 << 62
"""After every arrival."""

BLOCK = 32
"""Output tokens beyond the prediction are charged in blocks of so many."""


class FairOrder:
    """The queue of a pool; implements `Order`.

    Args:
        tiers: weights and limits; a run of an unknown tier goes with the lightest.
        costs: of the pool's tokens.
        slack: how far ahead of the fair one, in micro-GPU-seconds, a user may be served for
            the sake of a warm prefix; 0 is start-time fair queueing as in the paper.
        placing: where prompts are warm; None: nobody knows.
    """

    def __init__(
        self,
        tiers: Mapping[str, TierConfig],
        costs: Costs,
        *,
        slack: int,
        patience: Patience | None = None,
        placing: Placing | None = None,
    ) -> None:
        self._costs = costs
        self._selection = Selection(slack, patience or Patience(), placing or Anywhere())
        self._tiers = _ByTier()
        self._accounts: dict[str, Account] = {}
        self._virtual = 0
        self._waiting = 0
        self.tags = Tags(self._tiers, self._accounts)
        self.reconfigure(tiers, costs)

    def reconfigure(self, tiers: Mapping[str, TierConfig], costs: Costs) -> None:
        """Take new weights and costs for what is charged from now on. The rest of a tier's last
        division, less than a unit of its tag, is dropped with its old weight; a tier that is
        gone goes on with the lightest one's weight until it is empty."""
        lightest = min(config.weight for config in tiers.values())
        for name, tier in self._tiers.items():
            if name not in tiers:
                self._weigh(tier, lightest)
        for name, config in tiers.items():
            tier = self._tiers.setdefault(name, Backlog(name, config.weight))
            self._weigh(tier, config.weight)
            self.limit(name, config.concurrency)
        self._tiers.lightest = min(tiers, key=lambda name: tiers[name].weight)
        self._costs = costs

    @staticmethod
    def _weigh(tier: Backlog, weight: int) -> None:
        if weight != tier.weight:
            tier.weight, tier.rest = weight, 0

    def limit(self, tier_name: str, concurrency: int) -> None:
        """Let each user of the tier have so many runs on workers from now on; 0: any number."""
        tier = self._tiers[tier_name]
        if tier.concurrency != concurrency:
            tier.concurrency = concurrency
            for user in tier.users.values():
                tier.relist(user)

    def __len__(self) -> int:
        return self._waiting

    def push(self, run: Run, now_ms: int) -> None:  # noqa: ARG002
        """Let a run wait; one that was dispatched before keeps what its tokens cost."""
        tier = self._tiers[run.spec.tier]
        account = self._accounts.get(run.spec.run_id)
        if account is None or not account.restored:
            self._join(tier)
        self._waiting += 1
        if account is not None and account.restored:
            if account.running:
                self._suspend(tier, account)
        elif account is not None and account.running:
            self._return(tier, run, account)
        if run.front or account is not None:
            tier.put_front(run)
        else:
            run.cost = self._costs.charge(run.prompt_length, 0, run.predicted)
            user = tier.add(run, run.cost)
            if len(user.waiting) > 1:
                return  # nothing that is stored of the user has changed
        self.tags.touch(tier, run.spec.user_id)

    def _join(self, tier: Backlog) -> None:
        """Let a tier in which nobody waited begin at the present virtual time. What an earlier
        scheduler had dispatched does not wait: it is only looked for on the workers."""
        idle = not tier.waiting and not tier.resumed
        if idle and all(self._sought(run_id) for run_id in tier.front):
            tier.tag = max(tier.tag, self._virtual)
        tier.resumed = False

    def _sought(self, run_id: str) -> bool:
        account = self._accounts.get(run_id)
        return account is not None and account.restored

    def _return(self, tier: Backlog, run: Run, account: Account) -> None:
        """Give back what a run was charged for and has not delivered."""
        user = self._suspend(tier, account)
        delivered = max(0, run.tokens)
        self._charge(tier, user, self._costs.output_us * (delivered - account.output))
        account.output = delivered
        if delivered == 0:
            prefill = self._costs.charge(account.uncached, account.cached, 0)
            self._charge(tier, user, -prefill)
            account.uncached = account.cached = 0
        self.tags.note(run.spec.run_id)
        tier.relist(user)

    @staticmethod
    def _suspend(tier: Backlog, account: Account) -> User:
        """Count a run as on no worker."""
        user = tier.user(account.user_id)
        user.running -= 1
        tier.running -= 1
        account.running = False
        return user

    def remove(self, run: Run) -> None:
        """Take out a waiting run, and close the account of one that was dispatched before."""
        tier = self._tiers[run.spec.tier]
        if tier.front.pop(run.spec.run_id, None) is not None:
            self._waiting -= 1
            account = self._accounts.pop(run.spec.run_id, None)
            if account is not None:
                self.tags.note(run.spec.run_id)
                tier.left(tier.user(account.user_id))
        elif tier.take(run):
            self._waiting -= 1
            self.tags.touch(tier, run.spec.user_id)
            tier.left(tier.user(run.spec.user_id))
        tier.rest_if_idle()

    def next(self, rooms: Sequence[WorkerRoom], now_ms: int) -> Choice | None:
        """Return who is next and where: of the tier with the smallest tag that has a run which
        fits."""
        for tier in self._by_tag():
            open_rooms = [room for room in rooms if tier.name not in room.closed]
            if open_rooms:
                choice = self._selection.choose(tier, open_rooms, now_ms)
                if choice is not None:
                    return choice
        return None

    def _by_tag(self) -> list[Backlog]:
        waiting = [tier for tier in self._tiers.values() if tier.waiting or tier.front]
        return sorted(waiting, key=_tag) if len(waiting) > 1 else waiting

    def dispatched(self, run: Run, cached: int, now_ms: int) -> None:  # noqa: ARG002
        """Take the run out and charge what is predicted; a run that goes on after a loss is
        charged for the output that is still to come, and not for computing its prompt again."""
        run_id = run.spec.run_id
        tier = self._tiers[run.spec.tier]
        account = self._accounts.get(run_id)
        if account is None or not account.restored:
            self._advance(tier)
        waited = tier.front.pop(run_id, None) is not None or tier.take(run)
        if waited:
            self._waiting -= 1
        user = tier.user(run.spec.user_id)
        if account is not None and account.restored and not account.empty:
            account.restored = False
        elif account is None or account.empty:
            uncached, predicted = run.prompt_length - cached, run.predicted
            account = Account(
                tier.name, user.user_id, uncached, cached, predicted, predicted, running=False
            )
            self._charge(tier, user, self._costs.charge(uncached, cached, predicted))
        else:
            expected = max(account.predicted, account.output)
            self._charge(tier, user, self._costs.output_us * (expected - account.output))
            account.output = expected
        self._accounts[run_id] = account
        self.tags.note(run_id)
        self.tags.touch(tier, user.user_id)
        if not account.running:
            account.running = True
            user.running += 1
            tier.running += 1
        tier.relist(user)

    def _advance(self, tier: Backlog) -> None:
        """Move the virtual times on: one of this tier is dispatched."""
        least = min((it.tag for it in self._tiers.values() if it.waiting or it.front), default=0)
        self._virtual = max(self._virtual, least)
        tier.advance()

    def progressed(self, run: Run, tokens: int, now_ms: int) -> None:  # noqa: ARG002
        """Charge blocks of output beyond what was predicted."""
        account = self._accounts.get(run.spec.run_id)
        if account is None or not account.running or tokens <= account.output:
            return
        blocks = -(-(tokens - account.output) // BLOCK)
        account.output += blocks * BLOCK
        self.tags.note(run.spec.run_id)
        tier = self._tiers[account.tier]
        self._charge(tier, tier.user(account.user_id), self._costs.output_us * blocks * BLOCK)

    def settled(self, run: Run, cached: int, output: int, now_ms: int) -> None:  # noqa: ARG002
        """Correct the charge to what was used, and close the account."""
        account = self._accounts.get(run.spec.run_id)
        if account is None:
            return
        tier = self._tiers[account.tier]
        user = tier.user(account.user_id)
        prompt = 0 if account.empty and output <= 0 else run.prompt_length
        used_cached = max(0, min(cached, prompt))
        before = self._costs.charge(account.uncached, account.cached, account.output)
        after = self._costs.charge(prompt - used_cached, used_cached, max(0, output))
        self._charge(tier, user, after - before)
        del self._accounts[run.spec.run_id]
        self.tags.note(run.spec.run_id)
        if account.running:
            user.running -= 1
            tier.running -= 1
        tier.relist(user)
        tier.left(user)
        tier.rest_if_idle()

    def _charge(self, tier: Backlog, user: User, cost: int) -> None:
        tier.move(user, cost)
        self.tags.touch(tier, user.user_id)
        tier.charged += cost
        steps, tier.rest = divmod(tier.rest + cost * SCALE, tier.weight)
        tier.tag += steps

    def position(self, run: Run) -> int:
        """Return the place of a waiting run: exact among its user's, counted among 32 other
        users and taken for all, and by their weights among the other tiers."""
        return self.places(run)[1]

    def places(self, run: Run) -> tuple[int, int]:
        """Return the place of a waiting run within its tier, and among all; 0 if it does not
        wait."""
        tier = self._tiers[run.spec.tier]
        if run.spec.run_id in tier.front:
            place = 1 + list(tier.front).index(run.spec.run_id)
            return place, place
        user = tier.users.get(run.spec.user_id)
        if user is None or run.spec.run_id not in user.waiting:
            return 0, 0
        before, cost = own_before(user, run)
        others = others_before(self._tiers.values(), tier, user, user.tag + cost, run.arrival)
        return 1 + before + others[0], 1 + before + others[1]

    def ahead(self, tier: str, user_id: str) -> int:
        """Return how many runs would go before a new one of this user."""
        return self.lead(tier, user_id)[1]

    def lead(self, tier: str, user_id: str) -> tuple[int, int]:
        """Return how many runs of the tier would go before a new one of this user, and how many
        of all."""
        own = self._tiers[tier]
        user = own.users.get(user_id)
        tail = own.virtual if user is None else max(user.tail, own.virtual)
        waiting = 0 if user is None else len(user.waiting)
        others = others_before(self._tiers.values(), own, user, tail, _LAST)
        return waiting + others[0], waiting + others[1]

    def lag(self, tier: str, user_id: str) -> int:
        """Return how much cost lies between the tier's virtual time and the start tag of a run
        of this user that came now."""
        own = self._tiers[tier]
        user = own.users.get(user_id)
        return 0 if user is None else max(0, user.tail - own.virtual)

    def running(self, tier: str) -> int:
        """Return how many runs of the tier are on workers."""
        return self._tiers[tier].running

    def lag_of(self, run: Run) -> int:
        """Return the cost between the tier's virtual time and the start tag of a waiting run."""
        tier = self._tiers[run.spec.tier]
        user = tier.users.get(run.spec.user_id)
        if user is None or run.spec.run_id not in user.waiting:
            return 0
        return max(0, user.tag + own_before(user, run)[1] - tier.virtual)

    def counts(self, tier: str, user_id: str) -> tuple[int, int]:
        """Return how many runs of the user wait, and how many are on workers."""
        user = self._tiers[tier].users.get(user_id)
        return (0, 0) if user is None else (len(user.waiting), user.running)

    def virtual(self, tier: str) -> int:
        """Return the tier's virtual time, in cost; it never falls."""
        return self._tiers[tier].virtual

    def longest(self, tier: str) -> Run | None:
        """Return the newest waiting run of the tier's user with the largest tail."""
        user = self._tiers[tier].longest()
        return next(reversed(user.waiting.values())) if user is not None else None

    def waiting(self, tier: str) -> int:
        """Return how many runs of the tier wait."""
        return len(self._tiers[tier])

    def first(self, limit: int) -> list[Run]:
        """Return up to `limit` waiting runs in the order of their start tags; without those of
        users who have all the runs on workers that they may have."""
        return first_runs(self._tiers.values(), limit)

    # durability: `tags` has what a journal keeps

    @property
    def virtual_time(self) -> int:
        """The virtual time to which the tiers' tags compare."""
        return self._virtual

    def restore(
        self,
        virtual: int,
        tiers: Mapping[str, TierState],
        users: Mapping[tuple[str, str], UserState],
        accounts: Mapping[str, AccountState],
    ) -> Iterator[None]:
        """Begin with the tags that an earlier scheduler left, in steps: it is done when the
        iterator is exhausted. Runs that it had dispatched are to be pushed as all others: they go
        first, and are not charged again."""
        self._virtual = virtual
        owners = {(account.tier, account.user_id) for account in accounts.values()}
        yield from self.tags.restore(tiers, users, owners)
        for run_id, account in accounts.items():
            tier = self._tiers[account.tier]
            user = tier.user(account.user_id)
            user.running += 1
            tier.running += 1
            self._accounts[run_id] = Account(
                tier.name,
                account.user_id,
                account.uncached,
                account.cached,
                account.output,
                account.predicted,
                restored=True,
            )

    def forget_unclaimed(self) -> None:
        """Close the accounts of runs that were never pushed: they are over."""
        for run_id, account in list(self._accounts.items()):
            if account.restored and account.running:
                tier = self._tiers[account.tier]
                user = self._suspend(tier, account)
                del self._accounts[run_id]
                self.tags.note(run_id)
                tier.relist(user)
                tier.left(user)


class _ByTier(dict[str, Backlog]):
    """Tiers by name; a name that is not configured stands for the lightest one."""

    lightest = ""

    def __missing__(self, name: str) -> Backlog:
        return self[self.lightest]


def _tag(tier: Backlog) -> int:
    return tier.tag
