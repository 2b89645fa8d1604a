"""Server-sent events (WHATWG HTML, 9.2) of a run, as bytes.

The common event, a delta, is built by hand around one JSON string: thousands a second go
through a process.
"""

from collections.abc import Sequence

import msgspec

from contracts.codec import encode
from contracts.events import MessageDelta, NumberedEvent, RunFailed
from edge.problems import problem_document

RETRY = b"retry: 1000\n"
"""Tells an EventSource how long to wait before it reconnects, in milliseconds. A line of the
event that follows, whichever it is: some clients report a block without data as an event."""

_json = msgspec.json.Encoder()


class EventEncoder:
    """Encodes the events of one run; `run_id` must have the form of an id."""

    __slots__ = ("_delta", "_run", "ping")

    def __init__(self, run_id: str) -> None:
        run = run_id.encode()
        self._run = run
        self._delta = (
            b'id: %d\nevent: message.delta\ndata: {"type":"message.delta","runId":"'
            + run
            + b'","seq":%d,"delta":%b}\n\n'
        )
        self.ping = b'event: ping\ndata: {"type":"ping","runId":"' + run + b'"}\n\n'

    def encode(self, events: Sequence[NumberedEvent]) -> bytes:
        """Return the events as they go over the wire, one after another."""
        return b"".join(
            [
                self._delta % (numbered.seq, numbered.seq, _json.encode(numbered.event.delta))
                if type(numbered.event) is MessageDelta
                else self._other(numbered)
                for numbered in events
            ]
        )

    def _other(self, numbered: NumberedEvent) -> bytes:
        event, seq = numbered.event, numbered.seq
        kind = str(event.__struct_config__.tag).encode()
        if isinstance(event, RunFailed):
            data = _json.encode(
                {
                    "type": "run.failed",
                    "error": problem_document(event.error),
                    "messageId": event.message_id,
                }
            )
        else:
            data = encode(event)
        return b'id: %d\nevent: %b\ndata: {"runId":"%b","seq":%d,%b\n\n' % (
            seq,
            kind,
            self._run,
            seq,
            data[1:],
        )
