"""A lease, decided without I/O: when to write, when to believe, when to stop believing.

The server lets a key expire `ttl_ms` after it stored the last write, which is never before
that write was sent. The owner renews after a fifth of that time, or `early_ms` sooner, and stops
believing after two thirds counted from the *sending* of its last confirmed write; so it has
stopped before anybody else can own the key, as long as its monotonic clock runs within half of
true speed. A paused process may wake up believing: what it then writes is fenced elsewhere, by
its epoch. An owner that is heard but hears nothing renews once more before it stops believing,
and nobody has the key until that renewal has run out as well: hence a fifth, no third.
"""

from dataclasses import dataclass
from typing import Literal

from contracts.errors import IllegalMessage

LEASE_TTL_S = 2.0
"""Of every lease. A dead owner is replaced after at most this, the renewal that it was about to
make, and up to 0.3 s in which the server lets keys expire together: 2.8 s."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The key was read: `value` None means free (expired, deleted, never written)."""

    revision: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Wrote:
    """A write sent at `sent_at_ms` is confirmed as `revision`."""

    revision: int
    sent_at_ms: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """A write was refused: the key is at another revision."""


@dataclass(frozen=True, slots=True)
class Unsure:
    """Nobody knows whether the write sent at `sent_at_ms` was stored."""

    sent_at_ms: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Resign:
    """The owner gives the lease up, or stops wanting it."""


LeaseMessage = Seen | Wrote | Conflict | Unsure | Tick | Resign


@dataclass(frozen=True, slots=True)
class Write:
    """Write our value if the key is at `revision`; answer with Wrote, Conflict or Unsure."""

    revision: int


@dataclass(frozen=True, slots=True)
class Read:
    """Read the key; answer with Seen."""


@dataclass(frozen=True, slots=True)
class Held:
    """The lease is ours; `epoch` grows with every change of owner."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The lease is not ours any more."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the key, if it is still ours."""


LeaseEffect = Write | Read | Held | Lost | Delete


class LeaseMachine:
    """One contender for one key.

    Args:
        value: what the key holds while it is ours; unique to this contender's life.
        ttl_ms: the time to live that each write asks for, ≥ 1000.
        early_ms: how much sooner than need be it renews, 0 ≤ `early_ms` < `ttl_ms` / 5.
    """

    def __init__(self, value: bytes, ttl_ms: int, early_ms: int = 0) -> None:
        self._value = value
        self._ttl_ms = ttl_ms
        self._renew_ms = ttl_ms // 5 - early_ms
        self._phase: Literal["wanting", "held", "over"] = "wanting"
        self._revision = 0
        self._confirmed_ms = 0
        self._unsure_ms: int | None = None
        self.epoch = 0

    @property
    def renew_at_ms(self) -> int:
        """When the owner writes again."""
        return self._confirmed_ms + self._renew_ms

    @property
    def doubt_at_ms(self) -> int:
        """When the owner stops believing, unless a write is confirmed before."""
        return self._confirmed_ms + 2 * self._ttl_ms // 3

    @property
    def over(self) -> bool:
        """True once it was lost or given up: a new contender starts anew."""
        return self._phase == "over"

    def believes(self, now_ms: int) -> bool:
        """Say whether this contender may act as the owner at `now_ms`."""
        return self._phase == "held" and now_ms < self.doubt_at_ms

    def handle(self, message: LeaseMessage, now_ms: int) -> tuple[LeaseEffect, ...]:
        """Take a message; return what to do. Raises IllegalMessage once it is over."""
        if self._phase == "over":
            raise IllegalMessage("this lease is over")
        if isinstance(message, Resign):
            return self._resign()
        if self._phase == "wanting":
            return self._want(message, now_ms)
        return self._hold(message, now_ms)

    def _resign(self) -> tuple[LeaseEffect, ...]:
        held, self._phase = self._phase == "held", "over"
        return (Delete(), Lost()) if held else ()

    def _want(self, message: LeaseMessage, now_ms: int) -> tuple[LeaseEffect, ...]:
        match message:
            case Seen(revision, None):
                return (Write(revision),)
            case Seen(revision, value) if value == self._value:
                return self._believe(revision, self._sent_ms(revision), now_ms)
            case Wrote(revision, sent_at_ms):
                return self._believe(revision, sent_at_ms, now_ms)
            case Unsure(sent_at_ms):
                self._note_unsure(sent_at_ms)
                return ()
            case Conflict() | Tick():
                return (Read(),)
        return ()

    def _believe(self, revision: int, sent_at_ms: int, now_ms: int) -> tuple[LeaseEffect, ...]:
        self._unsure_ms = None
        self._revision = revision
        self._confirmed_ms = sent_at_ms
        if now_ms >= self.doubt_at_ms:
            return (Write(revision),)
        self._phase = "held"
        self.epoch = revision
        return (Held(revision),)

    def _sent_ms(self, revision: int) -> int:
        """Return when the write that made `revision`, which holds our value, was sent, or
        earlier: an unsure write that was never stored must not lend its time to an older one."""
        if revision == self._revision or self._unsure_ms is None:
            return self._confirmed_ms
        return self._unsure_ms

    def _hold(self, message: LeaseMessage, now_ms: int) -> tuple[LeaseEffect, ...]:
        match message:
            case Wrote(revision, sent_at_ms):
                self._confirm(revision, sent_at_ms)
            case Unsure(sent_at_ms):
                self._note_unsure(sent_at_ms)
            case Seen(revision, value) if value == self._value:
                self._confirm(revision, self._sent_ms(revision))
            case Seen(revision, _) if revision > self._revision:
                return self._lose()
            case Conflict() if self._unsure_ms is None:
                return self._lose()
            case Conflict():
                return (Read(),)
        if now_ms >= self.doubt_at_ms:
            return self._lose()
        if isinstance(message, Tick) and now_ms >= self.renew_at_ms:
            return (Write(self._revision),)
        return ()

    def _confirm(self, revision: int, sent_at_ms: int) -> None:
        self._revision = max(self._revision, revision)
        self._confirmed_ms = max(self._confirmed_ms, sent_at_ms)
        self._unsure_ms = None

    def _note_unsure(self, sent_at_ms: int) -> None:
        """Keep the earliest: whichever of several unsure writes was stored, it is not older."""
        if self._unsure_ms is None:
            self._unsure_ms = sent_at_ms

    def _lose(self) -> tuple[LeaseEffect, ...]:
        self._phase = "over"
        return (Lost(),)
