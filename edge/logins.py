"""Checks of passwords, and what edges tell each other of them: who guesses must wait, whichever
edge they ask."""

from hashlib import sha256

from contracts.accounts import LoginTried
from contracts.codec import decode, encode
from contracts.errors import BadMessage, BusError
from contracts.ids import ENTROPY_BYTES
from contracts.ports.bus import Bus, Inbound, Subscription
from contracts.ports.clock import Clock
from contracts.subjects import EDGE_TRIES
from edge.config import EdgeConfig
from edge.metrics import BAD_MESSAGES
from edge.passwords import Passwords
from edge.problems import refuse
from edge.routes import AnyRequest
from edge.throttle import FailureThrottle, address_key


class PasswordCheck:
    """Checks passwords, a bounded number of wrong ones an account and an address.

    Edges count together while they hear each other. One that is cut off, or that begins anew,
    counts by itself what it hears from then on.
    """

    def __init__(self, config: EdgeConfig, bus: Bus, passwords: Passwords, clock: Clock) -> None:
        self.passwords = passwords
        self._bus = bus
        self._clock = clock
        self._edge = clock.entropy(ENTROPY_BYTES).hex()
        window_ms = config.login_window_s * 1000
        self._by_account = FailureThrottle(limit=config.login_failures_max, window_ms=window_ms)
        self._by_address = FailureThrottle(limit=config.address_failures_max, window_ms=window_ms)

    async def listen(self) -> Subscription:
        """Begin to hear the other edges."""
        return await self._bus.subscribe(EDGE_TRIES, self._hear)

    async def __call__(
        self, request: AnyRequest, account: str, encoded: str | None, password: str
    ) -> None:
        """Return if the password is right. Raises Refused: 401, or 429 after too many."""
        tried = LoginTried(
            edge=self._edge,
            account=_digest(account),
            address=_digest(address_key(request.client.host if request.client else "")),
        )
        now_ms = self._clock.monotonic_ms()
        wait_ms = max(
            self._by_account.wait_ms(tried.account, now_ms),
            self._by_address.wait_ms(tried.address, now_ms),
        )
        if wait_ms:
            raise refuse(
                "rate_limited", "Too many failed log-ins; wait a while.", retry_after_ms=wait_ms
            )
        self._tell(tried)
        if not await self.passwords.verify(encoded, password):
            raise refuse("unauthenticated", "The address or the password is wrong.")
        self._tell(
            LoginTried(edge=self._edge, account=tried.account, address=tried.address, right=True)
        )

    def _tell(self, tried: LoginTried) -> None:
        self._count(tried)
        try:
            self._bus.publish(EDGE_TRIES, encode(tried))
        except BusError:
            return  # The others count one try less.

    def _hear(self, message: Inbound) -> None:
        try:
            tried = decode(message.data, LoginTried)
        except BadMessage:
            BAD_MESSAGES.labels("login").inc()
            return
        if tried.edge != self._edge:
            self._count(tried)

    def _count(self, tried: LoginTried) -> None:
        """Take in a try: as failed before it is made, so that many at once can't slip through."""
        if tried.right:
            self._by_account.succeeded(tried.account)
            self._by_address.taken_back(tried.address)
            return
        now_ms = self._clock.monotonic_ms()
        self._by_account.failed(tried.account, now_ms)
        self._by_address.failed(tried.address, now_ms)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
