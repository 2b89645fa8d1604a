"""One suite for every store of files: a folder, and memory."""

import stat
from pathlib import Path

import pytest

from contracts.ports.files import Files, FilesUnavailable
from ops.files import BadFilesAddress, open_files
from ops.files.memory import MemoryFiles


@pytest.fixture(params=["memory", "folder"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    url = "memory:" if request.param == "memory" else f"file:{tmp_path / 'home' / 'files'}"
    return open_files(url)


async def test_file_stored_is_read_until_it_is_deleted(files: Files) -> None:
    data = bytes(range(256)) * 5_000
    await files.put("file_1.data", data)
    await files.put("file_1.text", "Töpfe".encode())
    assert await files.get("file_1.data") == data
    assert await files.get("file_1.text") == "Töpfe".encode()
    await files.delete("file_1.data")
    await files.delete("file_1.data")
    assert await files.get("file_1.data") is None
    assert await files.get("file_1.text") == "Töpfe".encode()


async def test_file_stored_again_takes_the_place_of_the_first(files: Files) -> None:
    await files.put("file_1.data", b"first and long")
    await files.put("file_1.data", b"second")
    assert await files.get("file_1.data") == b"second"
    await files.put("empty", b"")
    assert await files.get("empty") == b""


async def test_file_never_stored_is_none(files: Files) -> None:
    assert await files.get("file_2.data") is None
    await files.delete("file_2.data")


async def test_folder_is_its_owners_alone_and_holds_nothing_after_deletion(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    files = open_files(f"file:{folder}")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    await files.put("file_1.data", b"x")
    await files.delete("file_1.data")
    assert list(folder.iterdir()) == []


async def test_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FilesUnavailable):
        open_files(f"file:{tmp_path / 'file'}")


async def test_memory_that_is_switched_off_is_said() -> None:
    files = MemoryFiles()
    files.available = False
    with pytest.raises(FilesUnavailable):
        await files.get("x")


@pytest.mark.parametrize("url", ["", "x", "file:", "s3:bucket", "s3://", "http://x"])
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadFilesAddress, match="file:DIR"):
        open_files(url)
