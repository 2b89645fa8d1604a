"""A client of the HTTP contract: one run followed to its end, whatever the connection does."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, connect_sse

from contracts.errors import ParleyError

TERMINAL = frozenset(("run.completed", "run.cancelled", "run.failed"))
_TOKEN_FILE = "chat-token"  # noqa: S105 - a file's name
_RETRY_S = 0.5
_PATIENCE_S = 120.0
_TIMEOUT = httpx.Timeout(10.0, read=45.0)


class ChatError(ParleyError):
    """The edge refused, or can't be reached; the message is for a person."""


class ChatClient:
    """A conversation with an edge at `url`, as guest or with an API key.

    A guest's token is kept in the home, so that the chats stay one's own.
    """

    def __init__(self, url: str, home: Path, *, api_key: str = "") -> None:
        self._url = url
        self._token_file = home / _TOKEN_FILE
        self._http = httpx.Client(base_url=url, timeout=_TIMEOUT)
        self._token = api_key
        self._chat_id = ""
        self._run_id = ""
        self._stop_asked = False

    def close(self) -> None:
        """Disconnect."""
        self._http.close()

    def enter(self) -> None:
        """Make sure of a valid identity, and open a new chat. Raises ChatError."""
        if not self._token:
            self._token = self._kept_token() or self._guest_token()
        answer = self._call("POST", "/chats")
        if answer.status_code == 401 and self._kept_token():
            self._token = self._guest_token()
            answer = self._call("POST", "/chats")
        self._chat_id = str(self._checked(answer)["chatId"])

    def ask(self, prompt: str, show: Callable[[str, dict[str, Any]], None]) -> dict[str, Any]:
        """Send `prompt` and call `show` with type and data of each event, to the end.

        Returns the terminal event's data. A lost connection is resumed where it broke; its
        patience is two minutes without an event.

        Raises:
            ChatError: the prompt was refused, or the stream stays away.
        """
        path = f"/chats/{self._chat_id}/messages"
        self._stop_asked = False
        body = self._checked(self._call("POST", path, json={"content": prompt}))
        self._run_id = str(body["runId"])
        if self._stop_asked:
            self.stop()
        last_id = ""
        heard_at = time.monotonic()
        while time.monotonic() - heard_at < _PATIENCE_S:
            for event in self._events(str(body["eventsUrl"]), last_id):
                heard_at = time.monotonic()
                last_id = event.id or last_id
                if event.event == "ping":
                    continue
                data: dict[str, Any] = event.json()
                show(event.event, data)
                if event.event in TERMINAL:
                    self._run_id = ""
                    return data
            time.sleep(_RETRY_S)
        raise ChatError(
            f"The answer does not come: nothing was heard from {self._url} for two minutes. "
            "parley ps shows what lives; the run goes on and is kept in the chat."
        )

    def stop(self) -> None:
        """Stop the run in flight, or the one just being sent; its end comes as an event. May be
        called from another thread."""
        self._stop_asked = True
        if self._run_id:
            with contextlib.suppress(ChatError):
                self._call("POST", f"/chats/{self._chat_id}/runs/{self._run_id}/cancel")

    def _events(self, url: str, last_id: str) -> Iterator[ServerSentEvent]:
        headers = self._headers() | ({"Last-Event-ID": last_id} if last_id else {})
        try:
            with connect_sse(self._http, "GET", url, headers=headers) as source:
                if source.response.status_code != 200:
                    return
                yield from source.iter_sse()
        except httpx.TransportError:
            return

    def _kept_token(self) -> str:
        try:
            return self._token_file.read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    def _guest_token(self) -> str:
        self._token = ""
        answer = self._call("POST", "/auth/guest")
        if answer.status_code in (404, 405):
            raise ChatError(
                "Guests are not allowed here: create a key with parley key create and give it "
                "in PARLEY_API_KEY."
            )
        token = str(self._checked(answer)["token"])
        self._token_file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._token_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(token)
        return token

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _call(self, method: str, path: str, *, json: object = None) -> httpx.Response:
        try:
            return self._http.request(method, path, json=json, headers=self._headers())
        except httpx.TransportError as error:
            raise ChatError(
                f"Nothing answers at {self._url} ({error}): start it with parley up, or give "
                "its address with --url."
            ) from error

    def _checked(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.is_success:
            body: dict[str, Any] = answer.json()
            return body
        try:
            detail = str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            detail = answer.text[:200]
        wait = answer.headers.get("retry-after")
        again = f" Try again in {wait} s." if wait else ""
        raise ChatError(f"{detail} (HTTP {answer.status_code}){again}")
