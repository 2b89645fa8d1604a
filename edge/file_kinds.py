"""What a file is, by its content: an image, a PDF, or text. Pure.

A name says only whether text is shown as code. What is none of these is refused.
"""

import re
from dataclasses import dataclass

from contracts.records import FileKind

KINDS_IN_WORDS = "text and code (UTF-8), PDF, and images (PNG, JPEG, GIF, WebP)"
NAME_MAX = 200

_CODE = re.compile(
    r"\.(bash|c|cc|clj|cpp|cs|css|dart|ex|erl|go|h|hpp|hs|html|java|jl|js|json|jsx|kt|lua|m|ml|mjs|nix"
    r"|php|pl|ps1|py|r|rb|rs|scala|scss|sh|sql|svelte|svg|swift|tcl|toml|ts|tsx|vue|xml|yaml|yml|zig)$",
    re.IGNORECASE,
)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_PDF_WITHIN = 1_024
_LOOKED_AT = 8_192


@dataclass(frozen=True, slots=True)
class FileType:
    """What a file is. `text` is what text files say; None for other kinds, and for text that
    was too long to be read."""

    kind: FileKind
    media_type: str
    text: str | None = None


def type_of(data: bytes, name: str, *, text_bytes_max: int) -> FileType | None:
    """Return what `data` is, None if it is nothing that is taken. What may be text is read up
    to `text_bytes_max`."""
    image = _image_type(data)
    if image is not None:
        return FileType("image", image)
    if b"%PDF-" in data[:_PDF_WITHIN]:
        return FileType("pdf", "application/pdf")
    if len(data) > text_bytes_max:
        looks_binary = _CONTROL.search(data[:_LOOKED_AT].decode("latin-1"))
        return None if looks_binary else FileType("text", "text/plain")
    text = _text_of(data)
    if text is None:
        return None
    return FileType("code" if _CODE.search(name) else "text", "text/plain", text)


def plain_name(name: str) -> str:
    """Return the name to show: the last part of a path, without what could mislead."""
    last = re.split(r"[/\\]", name)[-1]
    clean = _UNSAFE.sub("", last).strip()
    if len(clean) > NAME_MAX:
        stem, dot, suffix = clean.rpartition(".")
        keep = NAME_MAX - len(suffix) - 1
        clean = f"{stem[:keep]}.{suffix}" if dot and len(suffix) < 20 else clean[:NAME_MAX]
    return clean or "file"


def _image_type(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def _text_of(data: bytes) -> str | None:
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text
