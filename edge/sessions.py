"""Sessions that ended before their tokens expire, and what edges tell each other of it
(ADR 0020)."""

from contracts.accounts import IdentityChanged
from contracts.codec import decode, encode
from contracts.errors import BadMessage, BusError
from contracts.ids import ENTROPY_BYTES, make_id
from contracts.ports.bus import Bus, Inbound, Subscription
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.records import User
from contracts.subjects import EDGE_NEWS
from edge.config import EdgeConfig
from edge.expiring import ExpiringCache
from edge.metrics import BAD_MESSAGES
from edge.tokens import Session, SessionTokens


class Sessions:
    """Begins and ends sessions. Users and ended sessions are remembered for a few seconds, so
    a busy client costs no read per request; whoever changes one tells the other edges, and one
    that does not hear it finds out when its memory runs out."""

    def __init__(self, config: EdgeConfig, bus: Bus, history: History, clock: Clock) -> None:
        self._bus = bus
        self._history = history
        self._clock = clock
        self._tokens = SessionTokens(config.token_keys, lifetime_s=config.session_s)
        ttl_ms = int(config.lookup_ttl_s * 1000)
        self._users: ExpiringCache[str, User] = ExpiringCache(
            size=config.lookups_max, ttl_ms=ttl_ms
        )
        self._ended: ExpiringCache[str, bool] = ExpiringCache(
            size=config.lookups_max, ttl_ms=ttl_ms
        )
        self._deleted_keys: ExpiringCache[str, bool] = ExpiringCache(
            size=config.lookups_max, ttl_ms=2 * ttl_ms
        )

    async def listen(self) -> Subscription:
        """Begin to hear the other edges."""
        return await self._bus.subscribe(EDGE_NEWS, self._hear)

    def begin(self, user_id: str) -> str:
        """Return the token of a new session."""
        now_ms = self._clock.now_ms()
        session_id = make_id("login", now_ms, self._clock.entropy(ENTROPY_BYTES))
        return self._tokens.issue(user_id, session_id, now_ms)

    def read(self, token: str) -> Session | None:
        """Return what a token says if we issued it and it has not expired; the session may
        have ended all the same."""
        return self._tokens.verify(token, self._clock.now_ms())

    async def user(self, token: str) -> tuple[User, Session] | None:
        """Return who a token proves, None if its session has ended or never was."""
        session = self.read(token)
        user = await self.user_by_id(session.user_id) if session is not None else None
        if session is None or user is None or session.issued_ms < user.sessions_from_ms:
            return None
        if session.session_id and await self._has_ended(session.session_id):
            return None
        return user, session

    async def user_by_id(self, user_id: str) -> User | None:
        """Return a user as it was at most `lookup_ttl_s` ago."""
        now_ms = self._clock.monotonic_ms()
        user = self._users.get(user_id, now_ms)
        if user is None:
            user = await self._history.user_by_id(user_id)
            if user is not None:
                self._users.put(user_id, user, now_ms)
        return user

    async def end(self, session: Session) -> None:
        """End a session for good, here and on all other edges."""
        if not session.session_id:
            await self.end_all(session.user_id)
            return
        await self._history.end_session(session.session_id, until_ms=session.expires_ms)
        self._tell(IdentityChanged(session_id=session.session_id))

    async def end_all(self, user_id: str) -> None:
        """End all sessions of a user that began before now."""
        await self._history.update_user(user_id, sessions_from_ms=self._clock.now_ms())
        self.changed(user_id)

    def changed(self, user_id: str) -> None:
        """A user was changed or deleted here: everybody must read it anew."""
        self._tell(IdentityChanged(user_id=user_id))

    def end_key(self, key_hash: str) -> None:
        """An API key was deleted here: refuse it everywhere at once."""
        self._tell(IdentityChanged(key_hash=key_hash))

    def key_ended(self, key_hash: str) -> bool:
        """Say whether a key was deleted in the last seconds: who read it before then may still
        remember it."""
        return self._deleted_keys.get(key_hash, self._clock.monotonic_ms()) is not None

    async def _has_ended(self, session_id: str) -> bool:
        now_ms = self._clock.monotonic_ms()
        ended = self._ended.get(session_id, now_ms)
        if ended is None:
            ended = await self._history.session_ended(session_id)
            self._ended.put(session_id, ended, now_ms)
        return ended

    def _tell(self, change: IdentityChanged) -> None:
        self._take(change)
        try:
            self._bus.publish(EDGE_NEWS, encode(change))
        except BusError:
            return  # The others find out by reading.

    def _take(self, change: IdentityChanged) -> None:
        self._users.drop(change.user_id)
        if change.session_id:
            self._ended.put(change.session_id, True, self._clock.monotonic_ms())
        if change.key_hash:
            self._deleted_keys.put(change.key_hash, True, self._clock.monotonic_ms())

    def _hear(self, message: Inbound) -> None:
        try:
            self._take(decode(message.data, IdentityChanged))
        except BadMessage:
            BAD_MESSAGES.labels("identity").inc()
