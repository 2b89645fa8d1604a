"""What a child prints: all of it in its log file, warnings in one line on the screen."""

import contextlib
import json
import re
import sys
import time
from collections import deque
from pathlib import Path
from typing import TextIO

LOG_BYTES_MAX = 16 * 1_048_576
_TAIL_LINES = 20
_LEVELS = {"WRN": "warning", "ERR": "error", "FTL": "error"}
_EXPECTED = ("Plaintext passwords detected",)
"""Warnings of the NATS server that this set-up causes on purpose: its file is private."""
_NATS_LINE = re.compile(r"\[\d+\] [\d/]+ [\d:.]+ \[(?P<level>[A-Z]{3})\] (?P<event>.*)")


class Screen:
    """Lines for the person at the terminal: who, then what."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def say(self, name: str, text: str) -> None:
        """Print one line about `name`."""
        self.line(f"{name:<10} {text}")

    def line(self, text: str) -> None:
        """Print one line as it is; a terminal that has gone away is no error."""
        try:
            self._out.write(text + "\n")
            self._out.flush()
        except OSError:
            return


class ChildOutput:
    """The log of one child: JSON lines, at most 16 MiB and the 16 MiB before (`.1`).

    A line that is not JSON is wrapped. Warnings and errors also go to the screen, once a
    second at most, so that a child in trouble can't flood it. On a full disk lines are lost, which
    the log says once there is room: it is no reason to stop looking after the child.
    """

    def __init__(self, name: str, folder: Path, screen: Screen) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._name = name
        self._path = folder / f"{name}.log"
        self._screen = screen
        self._file = self._path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._lost = 0
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._shown_at = float("-inf")

    @property
    def path(self) -> Path:
        """Where the log is."""
        return self._path

    @property
    def last_words(self) -> str:
        """The last line that is not a log record (a traceback's end, an engine's complaint),
        empty if there is none."""
        return self._tail[-1] if self._tail else ""

    def line(self, text: str) -> None:
        """Take one line of output."""
        if not text.strip():
            return
        record = self._record(text)
        self._write(json.dumps(record, ensure_ascii=False))
        if record.get("level") in ("warning", "error", "critical"):
            self._show(record)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _record(self, text: str) -> dict[str, object]:
        if text.startswith("{"):
            try:
                record = json.loads(text)
            except ValueError:
                pass
            else:
                return {str(key): value for key, value in record.items()}
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        plain: dict[str, object] = {"timestamp": stamp, "role": self._name}
        nats = _NATS_LINE.match(text)
        if nats:
            event = nats["event"].strip()
            level = "info" if event.startswith(_EXPECTED) else _LEVELS.get(nats["level"], "info")
            return plain | {"level": level, "event": event}
        self._tail.append(text.strip())
        return plain | {"level": "output", "event": text}

    def _show(self, record: dict[str, object]) -> None:
        now = time.monotonic()
        if now - self._shown_at < 1.0:
            return
        self._shown_at = now
        event = str(record.get("event", ""))
        detail = record.get("error") or record.get("reason") or ""
        text = f"{event}: {detail}" if detail else event
        self._screen.say(self._name, f"{record['level']}: {text}"[:300])

    def _write(self, line: str) -> None:
        data = line.encode() + b"\n"
        if self._lost:
            told = {"role": self._name, "level": "warning", "event": f"lines lost: {self._lost}"}
            data = b"\n" + json.dumps(told).encode() + b"\n" + data
        try:
            if self._size + len(data) > LOG_BYTES_MAX:
                self._begin_anew()
            written = self._file.write(data)
        except OSError:
            self._lost += 1
            return
        self._size += written
        self._lost = 0 if written == len(data) else self._lost + 1

    def _begin_anew(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._path.replace(self._path.with_suffix(".log.1"))
        full, self._file = self._file, self._path.open("ab", buffering=0)
        full.close()
        self._size = 0
