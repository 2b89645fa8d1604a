"""Files: what is taken, what each limit says, who may read them, and PDFs that mean harm."""

import asyncio
import io
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from contracts.records import Attachment
from edge.config import PdfLimits, UploadLimits
from edge.file_kinds import plain_name, type_of
from tests.integration.edge.conftest import EdgeStack

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20


@pytest.fixture
def edge_settings() -> dict[str, Any]:
    return {
        "uploads": UploadLimits(
            file_bytes_max=1 << 20,
            file_chars_max=5_000,
            prompt_chars_max=6_000,
            files_max=4,
            user_bytes_max=2 << 20,
        ),
        "pdf": PdfLimits(memory_bytes=400 << 20, seconds=3, pages_max=50, chars_max=5_000),
    }


async def upload(stack: EdgeStack, me: dict[str, str], name: str, data: bytes) -> httpx.Response:
    return await stack.client.post("/uploads", files={"file": (name, data)}, headers=me)


def pdf_of(*pages: str) -> bytes:
    """Return a PDF that shows these words, a page each."""
    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(content)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "kind", "media_type"),
    [
        ("notes.txt", "Grüße".encode(), "text", "text/plain"),
        ("pots.py", b"x = 1\n", "code", "text/plain"),
        ("utf16.txt", "Töpfe".encode("utf-16"), "text", "text/plain"),
        ("evil.txt", PNG, "image", "image/png"),
        ("photo.exe", b"\xff\xd8\xff\xe0" + b"\x00" * 9, "image", "image/jpeg"),
        ("drawing.svg", b"<svg onload='x'/>", "code", "text/plain"),
        ("page.html", b"<script>1</script>", "code", "text/plain"),
        ("doc", pdf_of("Clay and fire"), "pdf", "application/pdf"),
    ],
)
async def test_file_is_what_its_content_says(
    stack: EdgeStack, name: str, data: bytes, kind: str, media_type: str
) -> None:
    me = await stack.guest()
    answer = await upload(stack, me, name, data)
    assert answer.status_code == 201, answer.text
    view = answer.json()
    assert (view["kind"], view["mediaType"]) == (kind, media_type)
    assert (view["name"], view["bytes"]) == (name, len(data))
    assert ("tokens" in view) == (kind != "image")
    path = f"/uploads/{view['fileId']}"
    read = await stack.client.get(path, headers=me)
    assert read.content == data
    assert read.headers["content-type"].startswith(media_type)
    shown = "inline" if kind == "image" else "attachment"
    assert read.headers["content-disposition"] == shown
    assert "sandbox" in read.headers["content-security-policy"]
    assert read.headers["x-content-type-options"] == "nosniff"
    assert (await stack.client.get(path)).status_code == 401
    assert (await stack.client.delete(path, headers=me)).status_code == 204
    assert (await stack.client.get(path, headers=me)).status_code == 404
    assert stack.files.stored == {}


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"\x7fELF\x00\x00\x00", 415, "text and code (UTF-8), PDF, and images"),
        (b"PK\x03\x04\x00\x00", 415, "text and code"),
        (b"half \xff\xfe text", 415, "text and code"),
        (b"", 422, "is empty"),
        (b" \n ", 422, "holds no text"),
        (b"x" * 5_001, 413, "more than 5000 characters"),
        (b"PK\x03\x04" + b"x" * 20_001, 415, "text and code"),
        (b"x" * 20_001, 413, "more than 5000 characters"),
        (b"x" * ((1 << 20) + 1), 413, "larger than 1 MB"),
        (b"x" * (2 << 20), 413, "Too large"),
    ],
)
async def test_file_beyond_a_limit_is_refused_by_its_name(
    stack: EdgeStack, data: bytes, status: int, words: str
) -> None:
    answer = await upload(stack, await stack.guest(), "f", data)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"] + answer.json()["title"]
    assert stack.files.stored == {}


async def test_forms_without_a_file_are_refused(stack: EdgeStack) -> None:
    me = await stack.guest()
    bad: list[dict[str, Any]] = [
        {"json": {"file": "x"}},
        {"data": {"file": "x"}},
        {"files": {"other": ("a", b"x")}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
    ]
    for form in bad:
        headers = {**me, **form.pop("headers", {})}
        answer = await stack.client.post("/uploads", headers=headers, **form)
        assert 400 <= answer.status_code < 500, answer.text


async def test_user_has_room_for_so_many_files(stack: EdgeStack) -> None:
    me = await stack.guest()
    big = PNG + b"\x00" * ((1 << 20) - 100)
    for _ in range(2):
        assert (await upload(stack, me, "a.png", big)).status_code == 201
    full = await upload(stack, me, "a.png", PNG + b"\x00" * 4_000)
    assert (full.status_code, "2 MB" in full.json()["detail"]) == (409, True)
    for _ in range(2):
        assert (await upload(stack, me, "a.txt", b"x")).status_code == 201
    full = await upload(stack, me, "a.txt", b"x")
    assert (full.status_code, "4 files" in full.json()["detail"]) == (409, True)
    assert (await upload(stack, await stack.guest(), "a.txt", b"x")).status_code == 201


def encrypted() -> bytes:
    writer = PdfWriter(io.BytesIO(pdf_of("secret")))
    writer.encrypt("key", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def bomb() -> bytes:
    """A page whose content is 600 MB of blanks in a few hundred kilobytes."""
    packed = zlib.compressobj(9)
    data = b"".join(packed.compress(b" " * (1 << 20)) for _ in range(600)) + packed.flush()
    stream = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(data), data)
    return assembled(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>",
        stream,
    )


def endless() -> bytes:
    """Content that computes for a very long time: a page that shows words without end."""
    words = zlib.compress(b"BT /F1 12 Tf " + b"(a) Tj 1 0 0 1 0 0 cm q Q " * 3_000_000, 9)
    stream = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(words), words)
    return assembled(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>",
        stream,
    )


def circular() -> bytes:
    """Pages whose kids are their own parents."""
    return assembled(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 9 >>",
        b"<< /Type /Pages /Kids [2 0 R] /Count 9 /Parent 2 0 R >>",
    )


def many_pages() -> bytes:
    kids = b" ".join(b"3 0 R" for _ in range(60))
    return assembled(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count 60 >>" % kids,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>",
    )


def assembled(*objects: bytes) -> bytes:
    """Return a PDF of these objects, the first of which is its root."""
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    return (
        out
        + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\n"
        % (
            count,
            table,
            count,
        )
        + b"startxref\n%d\n%%%%EOF" % len(out)
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (bomb, "can't be read"),
        (endless, "can't be read"),
        (circular, "can't be read"),
        (many_pages, "60 pages; at most 50"),
        (encrypted, "password"),
        (lambda: b"%PDF-1.4 rubbish", "damaged"),
        (pdf_of, "no text"),
        (lambda: pdf_of("word " * 1_001), "more than 5000 characters"),
    ],
    ids=["bomb", "endless", "circular", "pages", "encrypted", "rubbish", "empty", "long"],
)
async def test_pdf_that_means_harm_costs_a_clear_error(
    stack: EdgeStack, make: Callable[[], bytes], words: str
) -> None:
    me = await stack.guest()
    answer, health = await asyncio.gather(
        upload(stack, me, "a.pdf", make()), stack.client.get("/healthz")
    )
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["detail"]
    assert health.status_code == 200
    assert stack.files.stored == {}


async def test_files_of_a_prompt_reach_the_session_with_their_text(stack: EdgeStack) -> None:
    me, other = await stack.guest(), await stack.guest()
    chat_id = await stack.chat(me)
    code = (await upload(stack, me, "../../pots.py", b"x = 1\n")).json()
    pdf = (await upload(stack, me, "clay.pdf", pdf_of("Clay", "Fire"))).json()
    await stack.prompt(me, chat_id, attachments=[code["fileId"], pdf["fileId"]])
    first, second = stack.peers.submitted[-1].attachments
    assert first == Attachment(
        file_id=code["fileId"],
        name="pots.py",
        media_type="text/plain",
        kind="code",
        size_bytes=6,
        text="x = 1\n",
    )
    assert second.text == "Clay\n\nFire"
    page = (await stack.client.get(f"/chats/{chat_id}/messages", headers=me)).json()
    assert page["data"][1]["attachments"] == [
        {k: v for k, v in file.items() if k != "tokens"} for file in (code, pdf)
    ]
    their_chat = await stack.chat(other)
    image = (await upload(stack, other, "a.png", PNG)).json()
    long = [(await upload(stack, other, "a", b"x" * 4_000)).json()["fileId"] for _ in range(2)]
    for files, status, code_ in (
        ([code["fileId"]], 404, "not_found"),
        (["file_x"], 404, "not_found"),
        ([image["fileId"]], 422, "invalid_value"),
        (long, 413, "too_large"),
    ):
        answer = await stack.client.post(
            f"/chats/{their_chat}/messages",
            json={"content": "hi", "attachments": files},
            headers=other,
        )
        assert (answer.status_code, answer.json()["code"]) == (status, code_)
        if status == 422:
            assert "a.png is a picture, and tiny sees none" in answer.json()["detail"]
    assert len(stack.peers.submitted) == 1


async def test_file_store_that_is_away_is_said(stack: EdgeStack) -> None:
    me = await stack.guest()
    stack.files.available = False
    answer = await upload(stack, me, "a.txt", b"x")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\a.txt", "a.txt"),
        ("a\x00b\r\nc\u202etxt.exe", "abctxt.exe"),
        ("", "file"),
        ("///", "file"),
        ("x" * 300 + ".tar", "x" * 196 + ".tar"),
    ],
)
def test_name_is_shown_without_what_could_mislead(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_pdf_header_may_stand_a_little_later() -> None:
    found = type_of(b"\xef\xbb\xbf junk \n%PDF-1.7 ...", "x", text_bytes_max=9)
    assert found is not None and found.kind == "pdf"
