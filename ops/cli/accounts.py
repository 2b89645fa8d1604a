"""`parley user` and `parley key`: accounts from the shell, straight in history."""

import json
import os
import re
import secrets
from base64 import b32encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, cast

import click
import uvloop
from argon2 import PasswordHasher

from actors.runtime.clock import SystemClock
from contracts.errors import HistoryConflict, ParleyError
from contracts.ids import ENTROPY_BYTES, make_id
from contracts.ports.history import History
from contracts.records import ApiKey, User
from contracts.runs import TIERS, Tier
from edge.config import PasswordCost
from edge.identity import API_KEY_PREFIX, secret_hash
from ops.cli.look import table
from ops.cli.options import with_json, with_settings
from ops.history import open_history
from ops.settings import Settings, history_url
from ops.telemetry import silence_logging

T = TypeVar("T")
OPERATOR_EMAIL = "operator@parley.invalid"
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
_PASSWORD_MIN, _PASSWORD_MAX = 8, 256
_SECRET_BYTES = 25
_PAGE = 500


class AccountError(ParleyError):
    """The account is not there, or is there already."""


@click.group()
def user() -> None:
    """Add and list accounts, and change their tiers."""


@click.group()
def key() -> None:
    """Create API keys."""


@user.command("add")
@with_settings("look")
@with_json
@click.argument("email")
@click.option("--tier", type=click.Choice(TIERS), default="free", show_default=True)
def add(settings: Settings, as_json: bool, email: str, tier: str) -> None:
    """Add an account. The password is asked for, or taken from PARLEY_PASSWORD."""
    address = _address(email)
    password = os.environ.get("PARLEY_PASSWORD") or click.prompt(
        "Password", hide_input=True, confirmation_prompt=True, err=True
    )
    if not _PASSWORD_MIN <= len(password) <= _PASSWORD_MAX:
        raise click.UsageError(
            f"A password has {_PASSWORD_MIN} to {_PASSWORD_MAX} characters; this one has "
            f"{len(password)}."
        )
    cost = PasswordCost()
    hasher = PasswordHasher(
        time_cost=cost.time_cost, memory_cost=cost.memory_kib, parallelism=cost.lanes
    )
    account = _new_user(address, cast("Tier", tier), hasher.hash(password))

    async def create(history: History) -> None:
        try:
            await history.create_user(account)
        except HistoryConflict as error:
            raise AccountError(f"{address} has an account already.") from error

    _with_history(settings, create)
    _say(_user_row(account), as_json, f"{address} may log in now ({tier}).")


@user.command("tier")
@with_settings("look")
@with_json
@click.argument("email")
@click.argument("tier", type=click.Choice(TIERS))
def change_tier(settings: Settings, as_json: bool, email: str, tier: str) -> None:
    """Change the tier of an account."""
    address = _address(email)

    async def change(history: History) -> User:
        account = await _account(history, address)
        await history.set_tier(account.user_id, cast("Tier", tier))
        return await _account(history, address)

    account = _with_history(settings, change)
    _say(_user_row(account), as_json, f"{address} is in the tier {tier} now.")


@user.command("list")
@with_settings("look")
@with_json
def list_users(settings: Settings, as_json: bool) -> None:
    """List all accounts."""

    async def collect(history: History) -> list[User]:
        found: list[User] = []
        after = ""
        while page := await history.list_users(after=after, limit=_PAGE):
            found += page
            after = page[-1].user_id
        return found

    rows = [_user_row(account) for account in _with_history(settings, collect)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo(table(rows, ("id", "email", "tier")) if rows else "There are no accounts.")


@key.command("create")
@with_settings("look")
@with_json
@click.argument("name", default="")
@click.option("--user", "email", metavar="EMAIL", help="The account that it belongs to.")
def create_key(settings: Settings, as_json: bool, email: str | None, name: str) -> None:
    """Create an API key, known to its owner as NAME, and show it once.

    Without --user it belongs to an account for operators (tier paid, no log-in), which is
    made where it is missing.
    """
    address = _address(email) if email else OPERATOR_EMAIL
    clock = SystemClock()
    secret = b32encode(secrets.token_bytes(_SECRET_BYTES)).decode().lower()
    shown = API_KEY_PREFIX + secret

    async def create(history: History) -> ApiKey:
        if not email and await history.user_by_email(address) is None:
            await history.create_user(_new_user(address, "paid", None))
        account = await _account(history, address)
        record = ApiKey(
            key_id=make_id("key", clock.now_ms(), clock.entropy(ENTROPY_BYTES)),
            user_id=account.user_id,
            name=name,
            secret_hash=secret_hash(shown),
            created_at_ms=clock.now_ms(),
        )
        await history.create_api_key(record)
        return record

    record = _with_history(settings, create)
    _say({"id": record.key_id, "name": name, "email": address, "key": shown}, as_json, shown)


def _with_history(settings: Settings, work: Callable[[History], Awaitable[T]]) -> T:
    silence_logging()

    async def run() -> T:
        async with opened_history(settings) as history:
            return await work(history)

    return uvloop.run(run())


@asynccontextmanager
async def opened_history(settings: Settings) -> AsyncIterator[History]:
    """Open the history of the stack at the home."""
    if not settings.history:
        settings.home.mkdir(parents=True, exist_ok=True)
    history = open_history(history_url(settings))
    await history.open()
    try:
        yield history
    finally:
        await history.close()


async def _account(history: History, address: str) -> User:
    account = await history.user_by_email(address)
    if account is None:
        raise AccountError(f"{address} has no account: parley user add {address} makes one.")
    return account


def _new_user(address: str, tier: Tier, password_hash: str | None) -> User:
    clock = SystemClock()
    return User(
        user_id=make_id("user", clock.now_ms(), clock.entropy(ENTROPY_BYTES)),
        created_at_ms=clock.now_ms(),
        tier=tier,
        email=address,
        password_hash=password_hash,
    )


def _address(email: str) -> str:
    address = email.strip().lower()
    if not _EMAIL.fullmatch(address):
        raise click.UsageError(f"{email!r} is not an e-mail address.")
    return address


def _user_row(account: User) -> dict[str, object]:
    return {"id": account.user_id, "email": account.email, "tier": account.tier}


def _say(row: dict[str, object], as_json: bool, text: str) -> None:
    click.echo(json.dumps(row, indent=2) if as_json else text)
