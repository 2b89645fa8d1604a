"""One tier's users and their waiting runs, in the order of their start tags. Pure.

Heaps are lazy: an entry counts only while its user carries its mark, and a user whose tag has
grown since is put back where it is looked at. So a charge costs nothing but an addition.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count, islice

from actors.scheduler.state import Run

SCALE = 1 << 20
"""A tier's tag counts cost × this ÷ weight."""

_SAMPLE = 32
_SAMPLE_USES = 32
_VISITS = 4
_NEWEST = 16


@dataclass(slots=True, eq=False)
class User:
    """A user within a tier. `tag` is the start tag, in cost; `queued` the predicted cost of
    the runs that wait, `running` counts those on workers, `homed` are those that wait by
    their homes. `mark` and `tail_mark` name the entries of the heaps that count, 0: none, and
    `tail_listed` is the tail that the latter tells, never less than the true one; `resumed`:
    the tag is from before a take-over, when runs were waiting, and stands as it is."""

    user_id: str
    tag: int
    queued: int = 0
    running: int = 0
    waiting: "OrderedDict[str, Run]" = field(default_factory=OrderedDict)
    homed: "dict[str, OrderedDict[str, Run]]" = field(default_factory=dict)
    mark: int = 0
    tail_mark: int = 0
    tail_listed: int = 0
    arrivals: int = 0
    resumed: bool = False

    @property
    def tail(self) -> int:
        """The start tag of a run that would come now."""
        return self.tag + self.queued

    def at_home(self, worker: str) -> list[Run]:
        """Return some of the waiting runs whose home this is: the newest, which follow what the
        worker has just answered, and the oldest."""
        homed = self.homed.get(worker)
        if homed is None:
            return []
        found = list(islice(reversed(homed.values()), _NEWEST))
        if len(homed) > _NEWEST:
            found.append(next(iter(homed.values())))
        return found

    def head(self) -> Run:
        """The first waiting run; there must be one."""
        return next(iter(self.waiting.values()))


Entry = tuple[int, int, User]
Sampled = tuple[User, int, int, int, int]
"""A user with its tag, the arrival of its first run, how many wait, and their mean cost."""

Place = tuple[int, int, int, User]
"""Tag and arrival of the first run, the mark, and whose."""


class Backlog:
    """A tier: `tag` is its start tag among the tiers, in 1/`SCALE` of a cost unit a weight,
    `rest` what the last division left over, `virtual` its virtual time, to which its users'
    tags compare; `resumed`: its tag is from before a take-over, when runs waited, and stands.
    `front` are runs that lost a worker, in order of arrival."""

    def __init__(self, name: str, weight: int) -> None:
        self.name = name
        self.weight = weight
        self.concurrency = 0
        self.resumed = False
        self.tag = 0
        self.rest = 0
        self.virtual = 0
        self.highest = 0
        self.charged = 0
        self.waiting = 0
        self.running = 0
        self.queued = 0
        self.front: OrderedDict[str, Run] = OrderedDict()
        self.users: dict[str, User] = {}
        self._heap: list[Place] = []
        self._tails: list[Entry] = []
        self._idle: list[Entry] = []
        self._listed = 0
        self._sample: list[Sampled] = []
        self._sample_uses = 0
        self._marks = count(1)

    def __len__(self) -> int:
        return self.waiting + len(self.front)

    def user(self, user_id: str) -> User:
        """Return the user, who begins at the present virtual time if new or forgotten."""
        known = self.users.get(user_id)
        if known is None:
            known = self.users[user_id] = User(user_id, self.virtual)
        return known

    def add(self, run: Run, cost: int) -> User:
        """Let a fresh run wait, at the end of its user's queue."""
        user = self.user(run.spec.user_id)
        user.arrivals += 1
        run.place = user.arrivals
        run.cost = cost
        user.waiting[run.spec.run_id] = run
        if run.home:
            user.homed.setdefault(run.home, OrderedDict())[run.spec.run_id] = run
        user.queued += cost
        self.waiting += 1
        self.queued += cost
        self._note_tail(user)
        self.relist(user)
        return user

    def take(self, run: Run) -> bool:
        """Take a run out of its user's queue; False if it is not there."""
        user = self.users.get(run.spec.user_id)
        if user is None or user.waiting.pop(run.spec.run_id, None) is None:
            return False
        if run.home:
            homed = user.homed[run.home]
            del homed[run.spec.run_id]
            if not homed:
                del user.homed[run.home]
        user.queued -= run.cost
        self.waiting -= 1
        self.queued -= run.cost
        if not user.waiting:
            user.queued = user.tail_mark = 0
            self._unlist(user)
        return True

    def put_front(self, run: Run) -> None:
        """Let a run that lost its worker wait before the fresh ones, by arrival."""
        front = self.front
        late = not front or next(reversed(front.values())).arrival <= run.arrival
        front[run.spec.run_id] = run
        if not late:
            ordered = sorted(front.values(), key=lambda waiting: waiting.arrival)
            self.front = OrderedDict((waiting.spec.run_id, waiting) for waiting in ordered)

    def move(self, user: User, cost: int) -> None:
        """Add to a user's tag; a negative amount is a correction, and may take it below the
        virtual time."""
        user.tag += cost
        self.highest = max(self.highest, user.tag)
        if cost < 0 and user.mark:
            self._list(user)
        if cost > 0 and user.waiting:
            self._note_tail(user)

    def blocked(self, user: User) -> bool:
        """Whether the user has as many runs on workers as one may have."""
        return 0 < self.concurrency <= user.running

    def relist(self, user: User) -> None:
        """Let the user be chosen from now on, or not, as its queue and runs say. Who had
        nothing to choose joins at the present virtual time: idling earns nothing."""
        eligible = bool(user.waiting) and not self.blocked(user)
        if eligible and not user.mark:
            if user.tag < self.virtual and not user.resumed:
                self.move(user, self.virtual - user.tag)
            user.resumed = False
            self._list(user)
        elif not eligible and user.mark:
            self._unlist(user)

    def head(self) -> User | None:
        """Return the user with the smallest tag that may be chosen."""
        heap = self._heap
        while heap:
            key, _, mark, user = heap[0]
            if user.mark != mark:
                heappop(heap)
            elif key < user.tag:
                user.mark = next(self._marks)
                heapreplace(heap, (user.tag, user.head().arrival, user.mark, user))
            else:
                return user
        return None

    def within(self, limit: int) -> list[User]:
        """Return some of the users with tags up to `limit`, 32 at most, the first ones among
        them: a walk from the heap's root that leaves it as it is."""
        heap, found, level = self._heap, list[User](), [0]
        visits = _VISITS * _SAMPLE
        for index in level:
            key, _, mark, user = heap[index]
            if key > limit:
                continue
            if user.mark == mark and user.tag <= limit:
                found.append(user)
                if len(found) >= _SAMPLE:
                    break
            if len(level) < visits:
                level.extend(range(2 * index + 1, min(2 * index + 3, len(heap))))
        return found

    def nearest(self, limit: int) -> list[User]:
        """Return up to `limit` users that may be chosen, by their tags."""
        heap, found = list(self._heap), list[User]()
        while heap and len(found) < limit:
            key, arrival, mark, user = heappop(heap)
            if user.mark != mark:
                continue
            if key < user.tag:
                heappush(heap, (user.tag, arrival, mark, user))
            else:
                found.append(user)
        return found

    def sample(self) -> tuple[list[Sampled], int, int]:
        """Return some users that may be chosen, spread evenly, and the ratio of all of them to
        those, as numerator and denominator; takes constant time. Of many users a sample serves
        some times: it is only for estimates."""
        self._sample_uses -= 1
        if self._sample_uses < 0:
            step = max(1, len(self._heap) // _SAMPLE)
            self._sample = [
                (u, u.tag, u.head().arrival, len(u.waiting), max(1, u.queued // len(u.waiting)))
                for _, _, mark, u in self._heap[::step]
                if u.mark == mark
            ]
            self._sample_uses = _SAMPLE_USES if self._listed > _SAMPLE else 0
        return self._sample, self._listed, max(1, len(self._sample))

    def longest(self) -> User | None:
        """Return the user with the largest tail among those with fresh runs waiting."""
        tails = self._tails
        while tails:
            key, mark, user = tails[0]
            if user.tail_mark != mark or not user.waiting:
                heappop(tails)
            elif -key > user.tail:
                user.tail_mark, user.tail_listed = next(self._marks), user.tail
                heapreplace(tails, (-user.tail, user.tail_mark, user))
            else:
                return user
        return None

    def resume(self, user_id: str, tag: int, *, waiting: bool) -> None:
        """Begin with a user's tag from before a take-over; `waiting`: runs of theirs waited."""
        user = self.users[user_id] = User(user_id, tag, resumed=waiting)
        self.highest = max(self.highest, tag)
        heappush(self._idle, (tag, next(self._marks), user))

    def advance(self) -> None:
        """Move the virtual time to the smallest tag that waits."""
        head = self.head()
        if head is not None and head.tag > self.virtual:
            self.virtual = head.tag
            self._forget_passed()

    def rest_if_idle(self) -> None:
        """At the end of a busy period all who were served start from the same line again."""
        if not (self.waiting or self.running or self.front):
            self.virtual = max(self.virtual, self.highest)
            self.users.clear()
            self._heap.clear()
            self._tails.clear()
            self._idle.clear()
            self._listed = self._sample_uses = 0

    def left(self, user: User) -> None:
        """Forget a user who has nothing here any more, as soon as the virtual time has passed
        its tag: it would begin there anyway."""
        if user.waiting or user.running:
            return
        if user.tag <= self.virtual:
            self.users.pop(user.user_id, None)
        else:
            heappush(self._idle, (user.tag, next(self._marks), user))

    def _forget_passed(self) -> None:
        idle = self._idle
        while idle and idle[0][0] <= self.virtual:
            _, _, user = heappop(idle)
            known = self.users.get(user.user_id)
            if known is user and not user.waiting and not user.running:
                self.left(user)

    def _list(self, user: User) -> None:
        if not user.mark:
            self._listed += 1
        user.mark = next(self._marks)
        heappush(self._heap, (user.tag, user.head().arrival, user.mark, user))
        if len(self._heap) > 2 * self._listed + 64:
            self._heap = [entry for entry in self._heap if entry[3].mark == entry[2]]
            heapify(self._heap)

    def _unlist(self, user: User) -> None:
        if user.mark:
            self._listed -= 1
            user.mark = 0

    def _note_tail(self, user: User) -> None:
        tail = user.tag + user.queued
        if user.tail_mark and tail <= user.tail_listed:
            return
        user.tail_mark, user.tail_listed = next(self._marks), tail
        heappush(self._tails, (-tail, user.tail_mark, user))
        if len(self._tails) > 2 * len(self.users) + 64:
            self._tails = [entry for entry in self._tails if entry[2].tail_mark == entry[1]]
            heapify(self._tails)
