"""Saying something once, to whoever listens."""

import msgspec
import structlog

from contracts.codec import encode
from contracts.errors import BusUnavailable
from contracts.ports.bus import Bus

_log = structlog.get_logger()


def tell(bus: Bus, subject: str, body: msgspec.Struct) -> None:
    """Publish `body`, once. An empty subject means that nobody asked; what a missing server
    loses is asked again by whoever still wants it."""
    if not subject:
        return
    try:
        bus.publish(subject, encode(body))
    except BusUnavailable as error:
        _log.info("not said", subject=subject, error=str(error))
