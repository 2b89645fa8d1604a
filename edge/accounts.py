"""Accounts: sign up, log in, guests, who am I."""

import re
from typing import Annotated, Any

import msgspec
from litestar.types import ASGIApp

from contracts.errors import HistoryConflict
from contracts.ids import ENTROPY_BYTES, make_id
from contracts.ports.clock import Clock
from contracts.ports.history import History
from contracts.records import User
from edge.bodies import Body, invalid, read_body
from edge.config import EdgeConfig
from edge.identity import SESSION_COOKIE, Identity
from edge.passwords import Passwords
from edge.problems import refuse
from edge.replies import EmptyReply, json_reply
from edge.routes import AnyRequest, Route
from edge.throttle import FailureThrottle

_EMAIL = re.compile(r"^[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}$")


class Credentials(Body, frozen=True):
    """An e-mail address and a password of 8 to 256 characters."""

    email: Annotated[str, msgspec.Meta(min_length=3, max_length=254)]
    password: Annotated[str, msgspec.Meta(min_length=8, max_length=256)]


class Login(Body, frozen=True):
    """An e-mail address and its password."""

    email: Annotated[str, msgspec.Meta(max_length=254)]
    password: Annotated[str, msgspec.Meta(max_length=256)]


class Accounts:
    """The routes of accounts. Failed log-ins are limited by account and by address, in this
    process; a guest is an account without an address."""

    def __init__(
        self,
        config: EdgeConfig,
        history: History,
        identity: Identity,
        passwords: Passwords,
        clock: Clock,
    ) -> None:
        self._config = config
        self._history = history
        self._identity = identity
        self._passwords = passwords
        self._clock = clock
        window_ms = config.login_window_s * 1000
        self._by_account = FailureThrottle(limit=config.login_failures_max, window_ms=window_ms)
        self._by_address = FailureThrottle(limit=config.address_failures_max, window_ms=window_ms)

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        routes = [
            Route(
                "POST", "/auth/signup", self.sign_up, "Create an account", Credentials, public=True
            ),
            Route("POST", "/auth/login", self.log_in, "Log in", Login, public=True),
            Route("POST", "/auth/logout", self.log_out, "Forget the cookie", public=True),
            Route("GET", "/me", self.me, "Who am I"),
        ]
        if self._config.allow_guests:
            routes.append(
                Route("POST", "/auth/guest", self.enter_as_guest, "Enter as a guest", public=True)
            )
        return routes

    async def sign_up(self, request: AnyRequest) -> ASGIApp:
        """POST /auth/signup."""
        _refuse_other_origin(request)
        body = await read_body(request, Credentials)
        email = _normal(body.email)
        if not _EMAIL.match(email):
            raise invalid("email", "is not an e-mail address")
        user = User(
            user_id=self._new_user_id(),
            created_at_ms=self._clock.now_ms(),
            email=email,
            password_hash=await self._passwords.hash(body.password),
        )
        try:
            await self._history.create_user(user)
        except HistoryConflict as error:
            raise refuse("email_taken", "This address has an account; log in.") from error
        return self._entered(request, user, status=201)

    async def log_in(self, request: AnyRequest) -> ASGIApp:
        """POST /auth/login."""
        _refuse_other_origin(request)
        body = await read_body(request, Login)
        email = _normal(body.email)
        address = request.client.host if request.client else ""
        now_ms = self._clock.monotonic_ms()
        wait_ms = max(
            self._by_account.wait_ms(email, now_ms), self._by_address.wait_ms(address, now_ms)
        )
        if wait_ms:
            raise refuse(
                "rate_limited", "Too many failed log-ins; wait a while.", retry_after_ms=wait_ms
            )
        user = await self._history.user_by_email(email)
        if not await self._passwords.verify(user.password_hash if user else None, body.password):
            self._by_account.failed(email, now_ms)
            self._by_address.failed(address, now_ms)
            raise refuse("unauthenticated", "The address or the password is wrong.")
        assert user is not None, "a password was verified without a user"
        self._by_account.succeeded(email)
        return self._entered(request, user, status=200)

    async def enter_as_guest(self, request: AnyRequest) -> ASGIApp:
        """POST /auth/guest."""
        _refuse_other_origin(request)
        user = User(user_id=self._new_user_id(), created_at_ms=self._clock.now_ms())
        await self._history.create_user(user)
        return self._entered(request, user, status=201)

    async def log_out(self, request: AnyRequest) -> ASGIApp:
        """POST /auth/logout."""
        _refuse_other_origin(request)
        return EmptyReply(headers=((b"set-cookie", self._cookie(request, "", 0)),))

    async def me(self, request: AnyRequest) -> ASGIApp:
        """GET /me."""
        caller = await self._identity.caller(request)
        return json_reply(
            {"user": {"id": caller.user_id, "email": caller.email, "tier": caller.tier}}
        )

    def _entered(self, request: AnyRequest, user: User, *, status: int) -> ASGIApp:
        token = self._identity.tokens.issue(user.user_id, self._clock.now_ms())
        body: dict[str, Any] = {
            "token": token,
            "user": {"id": user.user_id, "email": user.email, "tier": user.tier},
        }
        cookie = self._cookie(request, token, self._config.session_s)
        return json_reply(body, status=status, headers=((b"set-cookie", cookie),))

    def _cookie(self, request: AnyRequest, value: str, lifetime_s: int) -> bytes:
        secure = self._config.secure_cookies or request.scope["scheme"] == "https"
        text = f"{SESSION_COOKIE}={value}; Path=/; Max-Age={lifetime_s}; HttpOnly; SameSite=Lax" + (
            "; Secure" if secure else ""
        )
        return text.encode()

    def _new_user_id(self) -> str:
        return make_id("user", self._clock.now_ms(), self._clock.entropy(ENTROPY_BYTES))


def _normal(email: str) -> str:
    return email.strip().lower()


def _refuse_other_origin(request: AnyRequest) -> None:
    """Keep another site's form from logging its visitor in or out here. A browser names the
    origin on every such request; other clients send none."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise refuse("forbidden", "This must come from Parley's own page.")
