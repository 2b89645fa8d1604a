"""The size of a picture, by its first bytes."""

import random
import struct

import pytest

from edge.picture_sizes import picture_size
from tests.support.pictures import png

JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    b"\xff\xff\xc4\x00\x04ab\xff\xc2\x00\x11\x08\x00\x2a\x01\x00\x03"
)
RIFF = b"RIFF\x00\x00\x00\x00WEBP"


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (png(7, 5, lambda _x, _y: (0, 0, 0)), (7, 5)),
        (JPEG, (256, 42)),
        (b"GIF89a" + struct.pack("<HH", 320, 200), (320, 200)),
        (RIFF + b"VP8X" + bytes(8) + (639).to_bytes(3, "little") + b"\xdf\x01\x00", (640, 480)),
        (RIFF + b"VP8L" + b"\x00\x00\x00\x00\x2f" + struct.pack("<I", 99 | 49 << 14), (100, 50)),
        (RIFF + b"VP8 " + bytes(10) + struct.pack("<HH", 64, 48), (64, 48)),
    ],
)
def test_size_of_each_kind_is_read(data: bytes, size: tuple[int, int]) -> None:
    assert picture_size(data) == size


@pytest.mark.parametrize("beginning", [b"\x89PNG\r\n\x1a\n", b"GIF89a", RIFF + b"VP8X", JPEG[:25]])
def test_size_of_a_broken_picture_is_not_known(beginning: bytes) -> None:
    assert picture_size(beginning) is None


def test_size_of_any_bytes_ends() -> None:
    draw = random.Random(3)
    for _ in range(2_000):
        data = draw.choice((b"\xff\xd8\xff", RIFF, b"\x89PNG", b"GIF8")) + draw.randbytes(60)
        picture_size(data)
