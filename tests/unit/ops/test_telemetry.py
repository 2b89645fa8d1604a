"""Logs: one JSON line a record, with who wrote it and about which run."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from ops.ports import free_port
from ops.telemetry import MetricsPortTaken, configure_logging, serve_metrics


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("info", role="edge", actor_id="edge-1", out=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def records(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_record_has_role_id_level_time_and_what_is_bound(out: io.StringIO) -> None:
    structlog.get_logger().bind(run_id="run_1", chat_id="chat_1").warning("refused", reason="full")
    (record,) = records(out)
    assert record.pop("timestamp")
    assert record == {
        "event": "refused",
        "level": "warning",
        "role": "edge",
        "id": "edge-1",
        "run_id": "run_1",
        "chat_id": "chat_1",
        "reason": "full",
    }


def test_a_librarys_record_takes_the_same_form(out: io.StringIO) -> None:
    logging.getLogger("some.library").error("broke %s", "down")
    (record,) = records(out)
    assert (record["event"], record["level"], record["logger"]) == (
        "broke down",
        "error",
        "some.library",
    )
    assert record["role"] == "edge"


def test_records_below_the_level_are_dropped(out: io.StringIO) -> None:
    structlog.get_logger().debug("hush")
    logging.getLogger("uvicorn.access").info("GET /")
    assert records(out) == []


def test_an_exception_stays_in_its_line(out: io.StringIO) -> None:
    try:
        int("two\nlines")
    except ValueError:
        structlog.get_logger().exception("failed")
    (record,) = records(out)
    assert "ValueError: invalid literal" in record["exception"]


def test_a_taken_metrics_port_is_named() -> None:
    port = free_port()
    serve_metrics(port)
    with pytest.raises(MetricsPortTaken, match=f"Port {port}"):
        serve_metrics(port)
