"""JetStream's JSON interface: acknowledgements, errors, stream and consumer configurations."""

import base64
import math
from typing import Any

import msgspec

from actors.runtime.raw_headers import RawHeaders, status_of
from contracts.errors import BusError, BusUnavailable, StreamFull, WrongSequence
from contracts.ports.bus import Stored, StreamSpec

LEASE_MARKER_S = 600
"""How long an expired or deleted key leaves its revision behind; a watcher that was cut off for
less sees the change when it is back."""

HEARTBEAT_S = 5
NANOSECONDS = 1_000_000_000

_FULL = frozenset((10023, 10028, 10047, 10077))
_WRONG_SEQUENCE = frozenset((10071, 10164))
NOT_FOUND = frozenset((10014, 10037, 10059))
"""Error codes: consumer, message, stream not found."""


class ApiError(msgspec.Struct):
    """The server's refusal."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class PublishAck(msgspec.Struct):
    """The answer to an append."""

    seq: int = 0
    duplicate: bool = False
    error: ApiError | None = None


class Refusal(BusError):
    """The server refused an API request; `err_code` is its own number."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(f"{error.description} ({error.err_code})")
        self.err_code = error.err_code


_ack_decoder = msgspec.json.Decoder(PublishAck)


def read_ack(data: bytes, headers: bytes) -> int:
    """Return the stream sequence of an append. Raises the port's errors."""
    if headers and status_of(headers) == 503:
        raise BusUnavailable("no stream answers for this subject")
    ack = _ack_decoder.decode(data)
    if ack.error is not None:
        raise error_of(ack.error)
    return ack.seq


def error_of(error: ApiError) -> BusError:
    """Return the port's error for a refusal."""
    text = f"{error.description} ({error.err_code})"
    if error.err_code in _WRONG_SEQUENCE:
        return WrongSequence(text)
    if error.err_code in _FULL and ("maximum" in error.description or error.err_code != 10077):
        return StreamFull(text)
    if error.code in (408, 429, 503) or error.err_code in (10077, 10158):
        return BusUnavailable(text)
    return Refusal(error)


def read_answer(data: bytes, headers: bytes) -> dict[str, Any]:
    """Return the JSON answer of an API request. Raises BusUnavailable, Refusal."""
    if headers and status_of(headers) == 503:
        raise BusUnavailable("JetStream does not answer")
    answer: dict[str, Any] = msgspec.json.decode(data)
    error = answer.get("error")
    if error is not None:
        raise error_of(msgspec.convert(error, ApiError))
    return answer


def read_direct(data: bytes, headers: bytes) -> Stored | None:
    """Return the message of a direct get, None for "not found". Raises BusUnavailable."""
    status = status_of(headers)
    if status == 404:
        return None
    if status:
        raise BusUnavailable(f"direct get answered {status}")
    fields = RawHeaders(headers)
    return Stored(fields["Nats-Subject"], data, int(fields["Nats-Sequence"]), fields)


def read_leader(answer: dict[str, Any]) -> Stored:
    """Return the message of a `STREAM.MSG.GET`."""
    message = answer["message"]
    raw = base64.b64decode(message.get("hdrs", ""))
    data = base64.b64decode(message.get("data", ""))
    return Stored(message["subject"], data, message["seq"], RawHeaders(raw))


def is_tombstone(headers: Any) -> bool:
    """Say whether a key's message marks its deletion or expiry."""
    return bool(headers) and ("KV-Operation" in headers or "Nats-Marker-Reason" in headers)


def stream_config(spec: StreamSpec) -> dict[str, Any]:
    """Return JetStream's configuration of a stream; a name `KV_…` makes a lease bucket."""
    config: dict[str, Any] = {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "description": spec.description,
        "retention": "workqueue" if spec.retention == "work" else "limits",
        "storage": spec.storage,
        "num_replicas": spec.replicas,
        "max_age": int(spec.max_age_s * NANOSECONDS),
        "max_bytes": spec.max_bytes,
        "max_msgs": spec.max_msgs,
        "discard": "new" if spec.discard_new else "old",
        "allow_direct": True,
        "metadata": dict(spec.metadata),
    }
    if spec.duplicate_window_s:
        config["duplicate_window"] = int(spec.duplicate_window_s * NANOSECONDS)
    if spec.republish is not None:
        config["republish"] = {"src": spec.republish[0], "dest": spec.republish[1]}
    if spec.name.startswith("KV_"):
        config |= {
            "max_msgs_per_subject": 1,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_msg_ttl": True,
            "subject_delete_marker_ttl": LEASE_MARKER_S * NANOSECONDS,
        }
    return config


def durable_config(
    durable: str, filter_subject: str, deliver: str, *, ack_wait_s: float, max_pending: int
) -> dict[str, Any]:
    """Return the configuration of a durable push consumer."""
    return {
        "durable_name": durable,
        "name": durable,
        "deliver_subject": deliver,
        "filter_subject": filter_subject,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(ack_wait_s * NANOSECONDS),
        "max_deliver": -1,
        "max_ack_pending": max_pending,
        "idle_heartbeat": HEARTBEAT_S * NANOSECONDS,
    }


def watch_config(filter_subject: str, deliver: str) -> dict[str, Any]:
    """Return the configuration of a short-lived consumer of the last message a subject."""
    return {
        "deliver_subject": deliver,
        "filter_subject": filter_subject,
        "deliver_policy": "last_per_subject",
        "ack_policy": "none",
        "max_deliver": 1,
        "idle_heartbeat": HEARTBEAT_S * NANOSECONDS,
        "inactive_threshold": 30 * NANOSECONDS,
        "mem_storage": True,
        "num_replicas": 1,
    }


def ttl_header(ttl_s: float) -> str:
    """Return a time to live in whole seconds, the server's grain, rounded up, at least 1."""
    return f"{max(1, math.ceil(ttl_s))}s"
