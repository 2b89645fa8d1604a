"""Message headers as NATS carries them: written in one go, read only where somebody asks."""

import re
from collections.abc import Iterator, Mapping

_UNSAFE = re.compile(r"[\s\x00]")
_HEADER_LINE = b"NATS/1.0"


class RawHeaders(Mapping[str, str]):
    """The headers of a message, parsed when first asked for."""

    __slots__ = ("_parsed", "_raw")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._parsed: dict[str, str] | None = None

    def _fields(self) -> dict[str, str]:
        if self._parsed is None:
            parsed: dict[str, str] = {}
            for line in self._raw.split(b"\r\n")[1:]:
                name, found, value = line.partition(b":")
                if found:
                    parsed[name.strip().decode()] = value.strip().decode("utf-8", "replace")
            self._parsed = parsed
        return self._parsed

    def __getitem__(self, name: str) -> str:
        return self._fields()[name]

    def number(self, name: str) -> int:
        """Return one header as an integer without parsing the others, 0 if it is absent."""
        found = self._raw.find(b"\r\n" + name.encode() + b": ")
        if found < 0:
            return 0
        start = found + len(name) + 4
        return int(self._raw[start : self._raw.index(b"\r", start)])

    def has(self, name: str, value: str) -> bool:
        """Return whether one header has this value, without parsing any."""
        return f"\r\n{name}: {value}\r\n".encode() in self._raw

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields())

    def __len__(self) -> int:
        return len(self._fields())


def status_of(raw_headers: bytes) -> int:
    """Return the status in a header block's first line (503, 404, 204, 100), 0 if none."""
    if raw_headers[8:9] != b" ":
        return 0
    code = raw_headers[9:12]
    return int(code) if code.isdigit() else 0


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """Return a header block. Raises ValueError for a name or value that would break out."""
    lines = [_HEADER_LINE]
    for name, value in headers.items():
        if "\r" in value or "\n" in value or _UNSAFE.search(name) or ":" in name:
            raise ValueError(f"not a legal header: {name!r}")
        lines.append(f"{name}: {value}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"
