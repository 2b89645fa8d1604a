"""A client that follows one answer through everything."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import connect_sse

from ops.chaos.stack import RunningStack

ANSWER_S = 60.0
TERMINAL = ("run.completed", "run.cancelled", "run.failed")


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

    def post(self, path: str, body: object) -> httpx.Response:
        """Send JSON to any route."""
        return self._http.post(path, json=body)

    def get(self, path: str) -> httpx.Response:
        """Read any route."""
        return self._http.get(path)

    def delete(self, path: str) -> httpx.Response:
        """Delete by any route."""
        return self._http.delete(path)

    def upload(self, name: str, data: bytes) -> str:
        """Upload a file and return its id."""
        reply = self._http.post("/uploads", files={"file": (name, data)})
        assert reply.status_code == 201, reply.text
        file_id: str = reply.json()["fileId"]
        return file_id

    def prompt(
        self, content: str, max_tokens: int, chat_id: str = "", files: Sequence[str] = ()
    ) -> Answer:
        """Send a prompt to a chat, a new one unless told, greedily answered."""
        chat_id = chat_id or self._http.post("/chats").json()["chatId"]
        body: dict[str, Any] = {"content": content, "maxTokens": max_tokens, "temperature": 0}
        if files:
            body["attachments"] = list(files)
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
        deadline = time.monotonic() + ANSWER_S
        while True:
            assert time.monotonic() < deadline, "the edge can't be reached"
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
