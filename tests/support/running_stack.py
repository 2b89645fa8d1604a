"""`parley up` as a process, and a client that follows one answer through everything."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import connect_sse

from ops.nats_server import free_port
from ops.supervision import leftovers
from tests.support.families import wait_gone

START_S = 90.0
STOP_S = 40.0
ANSWER_S = 60.0
TERMINAL = ("run.completed", "run.cancelled", "run.failed")
_ROOT = Path(__file__).parents[2]


class RunningStack:
    """A stack on a free port; `start` and `stop` may be repeated on the same home."""

    def __init__(self, home: Path, *words: str) -> None:
        self.home = home
        self.port = free_port()
        self._nats_port = free_port()
        self._words = words
        self._said: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """The edge's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None, "the stack was not started"
        return self._process.pid

    @property
    def said(self) -> str:
        """All that it printed."""
        return "\n".join(self._said)

    def start(self, patience_s: float = START_S) -> "RunningStack":
        """Start it and return when it says that it is ready."""
        self._said = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", "up", "--home", str(self.home),
             "--port", str(self.port), "--nats-port", str(self._nats_port), *self._words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=_ROOT,
            process_group=0,
        )  # fmt: skip
        ready = threading.Event()
        threading.Thread(target=self._listen, args=(self._process, ready), daemon=True).start()
        deadline = time.monotonic() + patience_s
        while not ready.wait(0.05):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.end(signal.SIGKILL)
                raise AssertionError(f"parley up is not ready:\n{self.said}")
        return self

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """Send it a signal, wait for its end, and see that nothing is left of it."""
        process, self._process = self._process, None
        if process is None:
            return 0
        children = leftovers.find(self.home)
        if process.poll() is None:
            process.send_signal(how)
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise AssertionError(f"parley up did not end:\n{self.said}") from error
        wait_gone(*children)
        return code

    def ask(self, *words: str) -> Any:
        """Return what a command prints with --json."""
        answer = subprocess.run(
            [sys.executable, "-m", "ops.cli", *words, "--json", "--home", str(self.home)],
            capture_output=True,
            text=True,
            cwd=_ROOT,
            check=False,
            timeout=60,
        )
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    def kill(self, role: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the busiest actor of a role (or to `nats`); return its process id."""
        if role == "nats":
            pid = next(pid for pid in leftovers.find(self.home) if _name(pid) == "nats-server")
        else:
            rows = [row for row in self.ask("ps") if row["role"] == role]
            pid = max(rows, key=lambda row: int(row["load"]["running"]))["pid"]
        os.kill(pid, how)
        return int(pid)

    def _listen(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._said.append(line.rstrip())
                if line.startswith("ready http"):
                    ready.set()


@dataclass
class Answer:
    """One answer as a client saw it."""

    run_id: str
    chat_id: str
    text: str = ""
    ids: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)


class Guest:
    """A guest of the stack, who reconnects as a browser does."""

    def __init__(self, stack: RunningStack) -> None:
        self._http = httpx.Client(base_url=stack.url, timeout=20.0)
        token = self._http.post("/auth/guest").json()["token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Disconnect."""
        self._http.close()

    def prompt(self, content: str, max_tokens: int) -> Answer:
        """Send a prompt to a new chat, greedily answered."""
        chat_id = self._http.post("/chats").json()["chatId"]
        body = {"content": content, "maxTokens": max_tokens, "temperature": 0}
        reply = self._http.post(f"/chats/{chat_id}/messages", json=body)
        assert reply.status_code == 202, reply.text
        return Answer(reply.json()["runId"], chat_id)

    def follow(
        self, answer: Answer, after_deltas: int = 0, then: Callable[[], object] | None = None
    ) -> Answer:
        """Follow the answer to its end, whatever happens to the connection; once
        `after_deltas` deltas have come, call `then` in a thread."""
        thread = threading.Thread(target=then) if then else None
        deadline = time.monotonic() + ANSWER_S
        while not answer.end:
            assert time.monotonic() < deadline, f"no end after {answer.kinds[-3:]}"
            try:
                for event in self._events(answer):
                    self._take(answer, event)
                    if thread and answer.kinds.count("message.delta") == after_deltas:
                        thread.start()
            except httpx.TransportError:
                time.sleep(0.1)
        if thread:
            thread.join()
        return answer

    def cancel(self, answer: Answer) -> int:
        """Stop the run; return the status of the reply."""
        path = f"/chats/{answer.chat_id}/runs/{answer.run_id}/cancel"
        return self._http.post(path).status_code

    def stored(self, answer: Answer) -> dict[str, Any]:
        """Return the answer's message as history has it, once it has ended."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            messages = self._messages(answer.chat_id)
            found: dict[str, Any] = next(m for m in messages if m.get("runId") == answer.run_id
                                         and m["role"] == "assistant")  # fmt: skip
            if found["status"] != "pending":
                return found
            assert time.monotonic() < deadline, "the answer is pending for ever"
            time.sleep(0.05)

    def _messages(self, chat_id: str) -> Sequence[dict[str, Any]]:
        while True:
            try:
                data: list[dict[str, Any]] = self._http.get(f"/chats/{chat_id}/messages").json()[
                    "data"
                ]
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return data

    def _events(self, answer: Answer) -> Any:
        last = {"Last-Event-ID": str(answer.ids[-1])} if answer.ids else {}
        path = f"/chats/{answer.chat_id}/runs/{answer.run_id}/events"
        with connect_sse(self._http, "GET", path, headers=last) as source:
            if source.response.status_code == 200:
                yield from source.iter_sse()
            else:
                time.sleep(0.1)

    @staticmethod
    def _take(answer: Answer, event: Any) -> None:
        if event.event == "ping":
            return
        data = event.json()
        answer.ids.append(int(event.id))
        answer.kinds.append(event.event)
        if event.event == "message.delta":
            answer.text += data["delta"]
        elif event.event == "message.snapshot":
            answer.text = data["text"]
        elif event.event in TERMINAL:
            answer.end = data


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
