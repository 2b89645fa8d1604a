"""Logs and metrics: JSON lines with role, id, run and chat; Prometheus on a local port."""

import asyncio
import logging
import logging.config
import sys
from typing import TextIO

import structlog
from prometheus_client import Gauge, start_http_server
from structlog.typing import EventDict, Processor

from contracts.errors import ParleyError

_NOISY = ("asyncio", "httpx", "httpcore", "uvicorn.access", "cassandra")


def silence_logging() -> None:
    """Keep the log records of a command that a person runs off the terminal."""
    configure_logging("critical", role="cli", actor_id="cli")


_tasks = Gauge("parley_tasks", "Tasks of the event loop that have not ended")


def count_tasks() -> None:
    """Tell the running loop's tasks to whoever reads this process's metrics."""
    loop = asyncio.get_running_loop()
    _tasks.set_function(lambda: float(len(asyncio.all_tasks(loop))))


class MetricsPortTaken(ParleyError):
    """The port of /metrics can't be had."""


def configure_logging(level: str, *, role: str, actor_id: str, out: TextIO | None = None) -> None:
    """Send every log record of this process to `out` (standard error) as one JSON line.

    Records of libraries take the same form, from `level` on (noisy ones from warning on).
    `run_id` and `chat_id` appear where they are bound. May be called again.
    """
    number = logging.getLevelName(level.upper())
    target = out or sys.stderr

    def name_actor(_: object, __: str, event: EventDict) -> EventDict:
        event.setdefault("role", role)
        event.setdefault("id", actor_id)
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_actor,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(ensure_ascii=False)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.captureWarnings(capture=True)


def serve_metrics(port: int) -> None:
    """Serve this process's metrics on 127.0.0.1:`port`; 0 serves nothing.

    Raises:
        MetricsPortTaken: somebody listens there already.
    """
    if not port:
        return
    try:
        start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise MetricsPortTaken(
            f"Port {port} for /metrics can't be taken ({error.strerror}): choose another "
            "--metrics-port, or 0 for none."
        ) from error
