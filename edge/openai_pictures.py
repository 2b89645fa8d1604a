"""Pictures in requests of `/v1`: `data:` URLs, lent to the file store while their runs last."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from hashlib import sha256

import structlog

from contracts.errors import HistoryUnavailable
from contracts.ids import ENTROPY_BYTES, make_id
from contracts.ports.clock import Clock
from contracts.ports.files import FilesUnavailable
from contracts.ports.history import History
from contracts.records import Upload
from contracts.runs import Picture, Sight
from edge.bodies import invalid
from edge.file_kinds import type_of
from edge.openai_errors import Unsupported
from edge.problems import refuse
from edge.stored_files import StoredFiles
from edge.uploads import check_picture, check_pictures

_log = structlog.get_logger()

LENT_NAME = "/v1"
"""The name of a lent file: an upload can't have it, since a name has no slash."""

_LEFT_OVER_MS = 86_400_000
"""No run lasts so long: what is lent for longer was left by an edge that died."""


def picture_of(url: str, where: str) -> bytes:
    """Return the picture of a `data:` URL (RFC 2397).

    Raises:
        Unsupported: a URL to be fetched: nothing is.
        InvalidRequest: it holds no picture that models are shown.
    """
    if not url.startswith("data:"):
        raise Unsupported(where, "is not fetched: send the picture itself, as a data: URL")
    head, comma, body = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise invalid(where, "must be a data: URL in base64")
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(where, "is not base64") from error
    kind = type_of(data, "", text_bytes_max=0)
    if kind is None or kind.kind != "image":
        raise invalid(where, "is no picture: PNG, JPEG, GIF and WebP are taken")
    check_picture(where, "it", data)
    return data


class Lender:
    """Lends pictures to the file store."""

    def __init__(self, history: History, files: StoredFiles, clock: Clock) -> None:
        self._history = history
        self._files = files
        self._clock = clock

    async def loan(
        self, user_id: str, model: str, sight: Sight | None, urls: Sequence[tuple[str, str]]
    ) -> "Loan | None":
        """Return the pictures of a request, not begun; None: it has none. `urls` are URLs after
        the names of their places.

        Raises:
            InvalidRequest: `model`, which sees as `sight` says, can't be shown one.
        """
        if not urls:
            return None
        if sight is None:
            raise Unsupported(urls[0][0], f"is a picture, and {model} sees none")
        check_pictures("messages", len(urls), model, sight)
        data = await asyncio.to_thread(lambda: [picture_of(url, where) for where, url in urls])
        return Loan(
            self._history,
            self._files,
            self._clock,
            user_id=user_id,
            data=data,
            tokens=sight.tokens,
        )


class Loan:
    """The pictures of one request in the file store, under their user's name. `tokens` is the
    most that each of them adds to a prompt."""

    def __init__(
        self,
        history: History,
        files: StoredFiles,
        clock: Clock,
        *,
        user_id: str,
        data: Sequence[bytes],
        tokens: int,
    ) -> None:
        self._history = history
        self._files = files
        self._clock = clock
        self._user_id = user_id
        self._data = data
        self._each = tokens
        now_ms = clock.now_ms()
        self._uploads = [
            Upload(
                file_id=make_id("file", now_ms, clock.entropy(ENTROPY_BYTES)),
                user_id=user_id,
                created_at_ms=now_ms,
                name=LENT_NAME,
                media_type="application/octet-stream",
                kind="image",
                size_bytes=len(each),
            )
            for each in data
        ]

    @property
    def tokens(self) -> int:
        """The most that all of them add to a prompt."""
        return self._each * len(self._data)

    def placed(self, prompt: Sequence[int], mark: int | None) -> tuple[Picture, ...]:
        """Return the pictures as a run of this prompt refers to them.

        Raises:
            Refused: the prompt has not one mark for each.
        """
        places = [at for at, token in enumerate(prompt) if token == mark]
        if len(places) != len(self._data):
            raise refuse("invalid_value", "The model can't be given pictures in this conversation.")
        return tuple(
            Picture(
                at=at,
                name=f"{upload.file_id}.data",
                digest=sha256(data).hexdigest(),
                tokens=self._each,
            )
            for at, upload, data in zip(places, self._uploads, self._data, strict=True)
        )

    async def begin(self) -> None:
        """Store them, and delete what a dead edge has left of this user's. Raises
        FilesUnavailable, HistoryUnavailable."""
        oldest_ms = self._clock.now_ms() - _LEFT_OVER_MS
        for upload in await self._history.list_uploads(self._user_id):
            if upload.name == LENT_NAME and upload.created_at_ms < oldest_ms:
                await self._forget(upload)
        for upload, data in zip(self._uploads, self._data, strict=True):
            await self._history.create_upload(upload)
            await self._files.keep(upload.file_id, data, "")

    async def end(self) -> None:
        """Delete them; what can't be deleted now is a day later, or with the account."""
        for upload in self._uploads:
            try:
                await self._forget(upload)
            except (FilesUnavailable, HistoryUnavailable) as error:
                _log.warning("a lent picture stays", file_id=upload.file_id, error=str(error))

    async def _forget(self, upload: Upload) -> None:
        await self._files.forget(upload.file_id)
        await self._history.delete_upload(upload.file_id)
