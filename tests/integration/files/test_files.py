"""One suite for every store of files: a folder, an S3-like store over HTTP, and memory."""

import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from contracts.ports.files import Files, FilesUnavailable
from ops.files import BadFilesAddress, open_files
from ops.files.memory import MemoryFiles
from ops.ports import free_port

BUCKET = "parley"
START_S = 60.0


@pytest.fixture(scope="module")
def object_store() -> Iterator[str]:
    """A server that speaks S3's protocol, with a bucket; its address."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    ) as server:
        try:
            _make_bucket(f"{url}/{BUCKET}", server)
            yield url
        finally:
            server.send_signal(signal.SIGTERM)


def _make_bucket(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            httpx.put(url).raise_for_status()
        except httpx.TransportError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


def reach(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Say where the store is, as an operator does."""
    for name, value in (
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_ALLOW_HTTP", "true"),
    ):
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["memory", "folder", "s3", "s3 below a prefix"])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    if request.param == "memory":
        return open_files("memory:")
    if request.param == "folder":
        return open_files(f"file:{tmp_path / 'home' / 'files'}")
    reach(monkeypatch, request.getfixturevalue("object_store"))
    return open_files(f"s3://{BUCKET}" + ("/a/b" if "prefix" in request.param else ""))


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


async def test_files_of_a_bucket_lie_under_its_prefix(
    object_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(monkeypatch, object_store)
    await open_files(f"s3://{BUCKET}/of/parley").put("file_9.data", b"here")
    assert await open_files(f"s3://{BUCKET}").get("of/parley/file_9.data") == b"here"
    assert await open_files(f"s3://{BUCKET}/of").get("file_9.data") is None


async def test_bucket_that_is_not_there_is_said(
    object_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(monkeypatch, object_store)
    with pytest.raises(FilesUnavailable):
        await open_files("s3://no-such-bucket").put("file_1.data", b"x")


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
