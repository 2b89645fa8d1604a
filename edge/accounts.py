"""Accounts: sign up, log in and out, guests, who am I, a new password."""

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
from edge.logins import PasswordCheck
from edge.origins import refuse_other_site
from edge.problems import refuse
from edge.replies import EmptyReply, json_reply
from edge.routes import AnyRequest, Route
from edge.sessions import Sessions

_EMAIL = re.compile(r"^[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}$")

NewPassword = Annotated[str, msgspec.Meta(min_length=8, max_length=256)]
GivenPassword = Annotated[str, msgspec.Meta(max_length=256)]


class Credentials(Body, frozen=True):
    """An e-mail address and a password of 8 to 256 characters."""

    email: Annotated[str, msgspec.Meta(min_length=3, max_length=254)]
    password: NewPassword


class Login(Body, frozen=True):
    """An e-mail address and its password."""

    email: Annotated[str, msgspec.Meta(max_length=254)]
    password: GivenPassword


class PasswordChange(Body, frozen=True):
    """The present password and the one of 8 to 256 characters that takes its place."""

    current: GivenPassword
    new: NewPassword


class Accounts:
    """The routes of accounts. A guest is an account without an address."""

    def __init__(
        self,
        config: EdgeConfig,
        *,
        history: History,
        identity: Identity,
        sessions: Sessions,
        check: PasswordCheck,
        clock: Clock,
    ) -> None:
        self._config = config
        self._history = history
        self._identity = identity
        self._sessions = sessions
        self._check = check
        self._passwords = check.passwords
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        routes = [
            Route(
                "POST", "/auth/signup", self.sign_up, "Create an account", Credentials, public=True
            ),
            Route("POST", "/auth/login", self.log_in, "Log in", Login, public=True),
            Route("POST", "/auth/logout", self.log_out, "End this session", public=True),
            Route("POST", "/auth/upgrade", self.upgrade, "Make a guest an account", Credentials),
            Route("POST", "/auth/password", self.change_password, "A new password", PasswordChange),
            Route("GET", "/me", self.me, "Who am I"),
        ]
        if self._config.allow_guests:
            routes.append(
                Route("POST", "/auth/guest", self.enter_as_guest, "Enter as a guest", public=True)
            )
        return routes

    async def sign_up(self, request: AnyRequest) -> ASGIApp:
        """POST /auth/signup."""
        refuse_other_site(request)
        body = await read_body(request, Credentials)
        user = User(
            user_id=self._new_user_id(),
            created_at_ms=self._clock.now_ms(),
            email=_address(body.email),
            password_hash=await self._passwords.hash(body.password),
        )
        try:
            await self._history.create_user(user)
        except HistoryConflict as error:
            raise refuse("email_taken", "This address has an account; log in.") from error
        return self._entered(request, user, status=201)

    async def log_in(self, request: AnyRequest) -> ASGIApp:
        """POST /auth/login. A hash of an older cost is replaced by one of today's."""
        refuse_other_site(request)
        body = await read_body(request, Login)
        email = _normal(body.email)
        user = await self._history.user_by_email(email)
        await self._check(request, email, user.password_hash if user else None, body.password)
        assert user is not None, "a password was verified without a user"
        if self._passwords.outdated(user.password_hash):
            fresh = await self._passwords.hash(body.password)
            await self._history.update_user(user.user_id, password_hash=fresh)
        return self._entered(request, user, status=200)

    async def enter_as_guest(self, request: AnyRequest) -> ASGIApp:
        """POST /auth/guest."""
        refuse_other_site(request)
        user = User(user_id=self._new_user_id(), created_at_ms=self._clock.now_ms())
        await self._history.create_user(user)
        return self._entered(request, user, status=201)

    async def upgrade(self, request: AnyRequest) -> ASGIApp:
        """POST /auth/upgrade. Chats and keys stay; the guest's session becomes the account's."""
        caller, session = await self._identity.owner(request, "make this an account")
        body = await read_body(request, Credentials)
        if caller.email is not None:
            raise refuse("conflict", "This is an account already.")
        email, hashed = _address(body.email), await self._passwords.hash(body.password)
        try:
            user = await self._history.give_email(caller.user_id, email=email, password_hash=hashed)
        except HistoryConflict as error:
            raise refuse("email_taken", "This address has an account; log in.") from error
        if user is None:
            raise refuse("unauthenticated", "The account is gone.")
        await self._sessions.end(session)
        self._sessions.changed(caller.user_id)
        return self._entered(request, user, status=201)

    async def change_password(self, request: AnyRequest) -> ASGIApp:
        """POST /auth/password. All other sessions end; this one goes on, in the cookie or
        under the token of the answer."""
        caller, _ = await self._identity.owner(request, "change the password")
        body = await read_body(request, PasswordChange)
        user = await self._history.user_by_id(caller.user_id)
        if user is None or user.email is None:
            raise refuse("conflict", "A guest has no password; make it an account first.")
        await self._check(request, user.email, user.password_hash, body.current)
        await self._history.update_user(
            user.user_id,
            password_hash=await self._passwords.hash(body.new),
            sessions_from_ms=self._clock.now_ms(),
        )
        self._sessions.changed(user.user_id)
        if caller.proof == "token":
            return self._entered(request, user, status=200)
        return EmptyReply(headers=(self._cookie(request, self._sessions.begin(user.user_id)),))

    async def log_out(self, request: AnyRequest) -> ASGIApp:
        """POST /auth/logout. The token is refused from now on, wherever it is."""
        refuse_other_site(request)
        session = self._identity.session(request)
        if session is not None:
            await self._sessions.end(session)
        return EmptyReply(headers=(self.no_cookie(request),))

    async def me(self, request: AnyRequest) -> ASGIApp:
        """GET /me."""
        caller = await self._identity.caller(request)
        return json_reply({"user": _view(caller.user_id, caller.email, caller.tier)})

    def no_cookie(self, request: AnyRequest) -> tuple[bytes, bytes]:
        """Return the header that makes a browser forget its session."""
        return self._cookie(request, "", lifetime_s=0)

    def _entered(self, request: AnyRequest, user: User, *, status: int) -> ASGIApp:
        token = self._sessions.begin(user.user_id)
        body = {"token": token, "user": _view(user.user_id, user.email, user.tier)}
        return json_reply(body, status=status, headers=(self._cookie(request, token),))

    def _cookie(
        self, request: AnyRequest, value: str, *, lifetime_s: int | None = None
    ) -> tuple[bytes, bytes]:
        secure = self._config.secure_cookies or request.scope["scheme"] == "https"
        age_s = self._config.session_s if lifetime_s is None else lifetime_s
        text = f"{SESSION_COOKIE}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Lax"
        return b"set-cookie", (text + ("; Secure" if secure else "")).encode()

    def _new_user_id(self) -> str:
        return make_id("user", self._clock.now_ms(), self._clock.entropy(ENTROPY_BYTES))


def _view(user_id: str, email: str | None, tier: str) -> dict[str, Any]:
    return {"id": user_id, "email": email, "tier": tier, "guest": email is None}


def _normal(email: str) -> str:
    return email.strip().lower()


def _address(email: str) -> str:
    """Return an address as it is stored. Raises InvalidRequest if it is none."""
    normal = _normal(email)
    if not _EMAIL.match(normal):
        raise invalid("email", "is not an e-mail address")
    return normal
