"""Small pictures, made here: their bytes are the same wherever the same zlib made them."""

import struct
import zlib
from collections.abc import Callable

Colour = tuple[int, int, int]


def png(width: int, height: int, colour: Callable[[int, int], Colour]) -> bytes:
    """Return a PNG of `colour(x, y)`."""
    rows = b"".join(
        b"\x00" + b"".join(bytes(colour(x, y)) for x in range(width)) for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def plain(colour: Colour = (255, 0, 0), size: int = 24) -> bytes:
    """Return a square of one colour."""
    return png(size, size, lambda _x, _y: colour)


def chequered(size: int = 24) -> bytes:
    """Return a chequered square."""
    return png(size, size, lambda x, y: (0, 40, 220) if (x // 4 + y // 4) % 2 else (250, 250, 20))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
