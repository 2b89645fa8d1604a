"""Files: uploaded once, attached to prompts, shown to their owner."""

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from litestar.datastructures import UploadFile
from litestar.types import ASGIApp

from contracts.ids import ENTROPY_BYTES, is_id, make_id
from contracts.ports.clock import Clock
from contracts.ports.engine import PICTURE_PIXELS_MAX
from contracts.ports.history import History
from contracts.ports.text import TextCodec
from contracts.records import Attachment, Upload
from contracts.runs import Sight
from edge.bodies import invalid, path_id
from edge.config import EdgeConfig
from edge.file_kinds import KINDS_IN_WORDS, FileType, plain_name, type_of
from edge.identity import Identity
from edge.pdf_text import PdfText
from edge.picture_sizes import picture_size
from edge.problems import UNAVAILABLE_RETRY_MS, InvalidRequest, refuse
from edge.replies import BytesReply, EmptyReply, json_reply
from edge.routes import AnyRequest, Route
from edge.stored_files import StoredFiles

_FORM_ROOM = 64 * 1024
"""What a form may take beside its file."""


class Uploads:
    """The routes of files, and the way from a file to what a prompt carries of it."""

    def __init__(
        self,
        config: EdgeConfig,
        *,
        history: History,
        files: StoredFiles,
        identity: Identity,
        codec: TextCodec,
        clock: Clock,
    ) -> None:
        self._limits = config.uploads
        self._history = history
        self._files = files
        self._identity = identity
        self._codec = codec
        self._clock = clock
        self._pdf = PdfText(config.pdf)
        self._receiving = 0

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        path = "/uploads/{file_id:str}"
        return [
            Route(
                "POST",
                "/uploads",
                self.receive,
                "Upload a file (form field `file`)",
                body_max=self._limits.file_bytes_max + _FORM_ROOM,
                form="file",
            ),
            Route("GET", path, self.read, "The file"),
            Route("DELETE", path, self.delete, "Delete the file; messages keep its text"),
        ]

    async def receive(self, request: AnyRequest) -> ASGIApp:
        """POST /uploads."""
        caller = await self._identity.caller(request)
        if self._receiving >= self._limits.at_once:
            raise refuse(
                "at_capacity",
                "Too many files are coming in just now.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            )
        self._receiving += 1
        try:
            name, data = await self._file_of(request)
            await self._check_room(caller.user_id, len(data))
            # A character takes four bytes at the most: more is longer than what is taken.
            found = type_of(data, name, text_bytes_max=4 * self._limits.file_chars_max)
            if found is None:
                raise InvalidRequest(
                    f"This file can't be taken: {KINDS_IN_WORDS} can.",
                    code="unsupported_media_type",
                )
            text = await self._text(data, found)
        finally:
            self._receiving -= 1
        now_ms = self._clock.now_ms()
        upload = Upload(
            file_id=make_id("file", now_ms, self._clock.entropy(ENTROPY_BYTES)),
            user_id=caller.user_id,
            created_at_ms=now_ms,
            name=name,
            media_type=found.media_type,
            kind=found.kind,
            size_bytes=len(data),
            text_chars=len(text),
        )
        # The record first: what it names, and nothing else, is deleted with the account.
        await self._history.create_upload(upload)
        await self._files.keep(upload.file_id, data, text)
        view = dict(attachment_view(upload))
        if text:
            view["tokens"] = len(await asyncio.to_thread(self._codec.encode, text))
        return json_reply(view, status=201)

    async def read(self, request: AnyRequest) -> ASGIApp:
        """GET /uploads/{fileId}. An image is shown, all else is for keeping."""
        upload = await self._owned(request)
        data = await self._files.data(upload.file_id)
        if data is None:
            raise refuse("not_found", "There is no such file.")
        shown = upload.kind == "image"
        charset = "; charset=utf-8" if upload.media_type.startswith("text/") else ""
        return BytesReply(
            data,
            media_type=f"{upload.media_type}{charset}".encode(),
            headers=(
                (b"content-disposition", b"inline" if shown else b"attachment"),
                (b"content-security-policy", b"default-src 'none'; sandbox"),
                (b"cache-control", b"private, max-age=86400, immutable"),
            ),
        )

    async def delete(self, request: AnyRequest) -> ASGIApp:
        """DELETE /uploads/{fileId}."""
        upload = await self._owned(request)
        await self._files.forget(upload.file_id)
        await self._history.delete_upload(upload.file_id)
        return EmptyReply()

    async def attachments(
        self, user_id: str, file_ids: Sequence[str], model: str, sight: Sight | None
    ) -> tuple[Attachment, ...]:
        """Return what a prompt to `model`, which sees as `sight` says, carries of these files of
        its user.

        Raises:
            Refused, InvalidRequest: a file is not there or not the user's, is a picture that the
                model can't be shown (ADR 0027), or all of them together have too much text.
        """
        owned = (self._attachment(user_id, each, model, sight) for each in file_ids)
        found = await asyncio.gather(*owned)
        check_pictures("attachments", sum(file.kind == "image" for file in found), model, sight)
        chars = sum(len(attachment.text) for attachment in found)
        if chars > self._limits.prompt_chars_max:
            raise refuse(
                "too_large",
                f"The files have {chars} characters of text; a prompt takes at most"
                f" {self._limits.prompt_chars_max}.",
            )
        return tuple(found)

    async def _attachment(
        self, user_id: str, file_id: str, model: str, sight: Sight | None
    ) -> Attachment:
        upload = await self._history.upload(file_id) if is_id(file_id, "file") else None
        if upload is None or upload.user_id != user_id:
            raise refuse("not_found", "There is no such file.")
        digest = ""
        if upload.kind == "image":
            if sight is None:
                raise invalid("attachments", f"{upload.name} is a picture, and {model} sees none")
            data = await self._files.data(upload.file_id)
            if data is None:
                raise refuse("not_found", "There is no such file.")
            check_picture("attachments", upload.name, data)
            digest = await asyncio.to_thread(lambda: sha256(data).hexdigest())
        return Attachment(
            file_id=upload.file_id,
            name=upload.name,
            media_type=upload.media_type,
            kind=upload.kind,
            size_bytes=upload.size_bytes,
            text=await self._files.text(upload.file_id),
            digest=digest,
        )

    async def _owned(self, request: AnyRequest) -> Upload:
        caller = await self._identity.caller(request)
        upload = await self._history.upload(path_id(request, "file_id", "file"))
        if upload is None or upload.user_id != caller.user_id:
            raise refuse("not_found", "There is no such file.")
        return upload

    async def _file_of(self, request: AnyRequest) -> tuple[str, bytes]:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "multipart/form-data":
            raise InvalidRequest(
                "Send the file as a form: Content-Type: multipart/form-data.",
                code="unsupported_media_type",
            )
        form = await request.form()
        try:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise invalid("file", "must be a file of the form")
            data = await file.read()
        finally:
            await form.close()
        most = self._limits.file_bytes_max
        if len(data) > most:
            raise refuse("too_large", f"The file is larger than {most >> 20} MB.")
        if not data:
            raise invalid("file", "is empty")
        return plain_name(file.filename or ""), data

    async def _check_room(self, user_id: str, size: int) -> None:
        uploads = await self._history.list_uploads(user_id)
        limits = self._limits
        if len(uploads) >= limits.files_max:
            raise refuse("conflict", f"You have {limits.files_max} files; delete some first.")
        if sum(upload.size_bytes for upload in uploads) + size > limits.user_bytes_max:
            most = limits.user_bytes_max >> 20
            raise refuse("conflict", f"Your files would take more than {most} MB; delete some.")

    async def _text(self, data: bytes, found: FileType) -> str:
        text = found.text or ""
        if found.kind == "pdf":
            text = await self._pdf.read(data)
        most = self._limits.file_chars_max
        unread = found.kind in ("text", "code") and found.text is None
        if unread or len(text) > most:
            raise refuse(
                "too_large", f"The file has more than {most} characters, the most that are taken."
            )
        if found.kind != "image" and not text.strip():
            raise invalid("file", "holds no text")
        return text


def check_pictures(where: str, count: int, model: str, sight: Sight | None) -> None:
    """Return if a prompt to a model that sees as `sight` says may have `count` pictures.

    Raises:
        InvalidRequest: it sees none, or fewer.
    """
    if count and sight is None:
        raise invalid(where, f"has a picture, and {model} sees none")
    if sight is not None and count > sight.pictures:
        raise invalid(where, f"has {count} pictures; {model} is shown at most {sight.pictures}")


def check_picture(where: str, name: str, data: bytes) -> None:
    """Return if a model that sees may be shown the picture.

    Raises:
        InvalidRequest: its size can't be read, or is too large.
    """
    size = picture_size(data)
    if size is None or not size[0] * size[1]:
        raise invalid(where, f"{name} is a picture whose size can't be read")
    if size[0] * size[1] > PICTURE_PIXELS_MAX:
        raise invalid(
            where,
            f"{name} has {size[0]} by {size[1]} pixels; a model is shown pictures of at most"
            f" {PICTURE_PIXELS_MAX >> 20} million",
        )


def attachment_view(file: Upload | Attachment) -> Mapping[str, Any]:
    """Return a file as clients see it."""
    return {
        "fileId": file.file_id,
        "name": file.name,
        "mediaType": file.media_type,
        "bytes": file.size_bytes,
        "kind": file.kind,
    }
