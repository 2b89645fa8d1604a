"""The text of a PDF, found by a program of its own that a bad file can't take with it."""

import asyncio
import contextlib
import sys
from pathlib import Path

import msgspec

from edge.config import PdfLimits
from edge.problems import UNAVAILABLE_RETRY_MS, refuse

_READER = Path(__file__).with_name("pdf_reader.py")


class _Answer(msgspec.Struct):
    text: str = ""
    error: str = ""


class PdfText:
    """Runs `pdf_reader`, at most `concurrent` at once and `waiting_max` waiting."""

    def __init__(self, limits: PdfLimits) -> None:
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.concurrent)
        self._pending = 0

    async def read(self, data: bytes) -> str:
        """Return the text of a PDF.

        Raises:
            Refused: `invalid_value`, naming the limit that the file exceeds or what is wrong
                with it; `at_capacity`.
        """
        if self._pending >= self._limits.concurrent + self._limits.waiting_max:
            raise refuse(
                "at_capacity",
                "Too many PDFs are being read just now.",
                retry_after_ms=UNAVAILABLE_RETRY_MS,
            )
        self._pending += 1
        try:
            async with self._slots:
                answer = await self._run(data)
        finally:
            self._pending -= 1
        if answer.error:
            raise refuse("invalid_value", f"This PDF can't be read: {answer.error}.")
        return answer.text

    async def _run(self, data: bytes) -> _Answer:
        limits = self._limits
        numbers = (limits.memory_bytes, limits.seconds, limits.pages_max, limits.chars_max)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(_READER), *map(str, numbers)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            # Twice the processor time: on a busy machine it waits as long as it computes.
            async with asyncio.timeout(2 * limits.seconds + 5):
                output, _ = await process.communicate(data)
        except TimeoutError:
            return _Answer(error=f"reading it takes more than {limits.seconds} s")
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        try:
            return msgspec.json.decode(output, type=_Answer)
        except msgspec.DecodeError:
            megabytes = limits.memory_bytes >> 20
            return _Answer(
                error=f"reading it takes more than {limits.seconds} s or {megabytes} MB of memory"
            )
