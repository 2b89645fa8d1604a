"""Recorded request traces, read by path. Their files are not part of the project."""

import csv
import gzip
import os
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec

from contracts.block_keys import BLOCK_TOKENS, KEYS_MAX
from contracts.errors import ParleyError
from ops.bench.schedule.prompts import OpenWorkload, Prompt, block_name
from ops.bench.schedule.workloads.users import ZipfUsers

VTC_TRACE = "vtc_real.csv"
MOONCAKE_TRACE = "mooncake_conversation.jsonl.gz"
_MOONCAKE_BLOCK = 512
_MOONCAKE_MAX_TOKENS = 2_048


class TraceMissing(ParleyError):
    """A trace is not on this machine."""


def traces_folder(told: Path | None) -> Path | None:
    """Return where the traces are: as told, else `PARLEY_TRACES`, else `shared/traces` beside
    the checkout; None if there is no such folder."""
    places = [told, Path(os.environ["PARLEY_TRACES"]) if "PARLEY_TRACES" in os.environ else None]
    places.append(Path(__file__).resolve().parents[5] / "shared" / "traces")
    return next((place for place in places if place is not None and place.is_dir()), None)


def trace_file(folder: Path | None, name: str) -> Path:
    """Return the trace's path. Raises TraceMissing."""
    if folder is None or not (folder / name).exists():
        raise TraceMissing(f"The trace {name} is not here; say where with --traces DIR.")
    return folder / name


def vtc_real(folder: Path | None, *, declared: bool = True) -> OpenWorkload:
    """Return VTC's trace: 1,500 requests of 27 users over 600 s.

    `declared`: each run says its answer's length as `max_tokens`, as in the paper's artifact;
    else each says 1,024.

    Raises TraceMissing.
    """
    prompts = []
    with trace_file(folder, VTC_TRACE).open(newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines)):
            length = int(row["output_tokens"])
            prompts.append(
                Prompt(
                    name=f"vtc-{number}",
                    user=f"user-{int(row['user']):02d}",
                    at_us=round(float(row["arrival_s"]) * 1e6),
                    prompt_tokens=int(row["prompt_tokens"]),
                    output_tokens=length,
                    max_tokens=length if declared else 1_024,
                )
            )
    return OpenWorkload(prompts)


def mooncake(file: Path, seed: int, *, until_s: float, users: int = 200) -> "Mooncake":
    """Return Mooncake's conversation trace, its first `until_s` seconds."""
    return Mooncake(file, seed, until_s, users)


class _Row(msgspec.Struct):
    """A line of the trace; times in milliseconds."""

    timestamp: int
    input_length: int
    output_length: int
    hash_ids: list[int]


class Mooncake:
    """Requests that share a prefix beyond the first block belong to one chat; chats belong to
    users by a seeded Zipf draw (s = 1.1). Each 512-token block of the trace stands for as many
    of our blocks as it has tokens for."""

    def __init__(self, file: Path, seed: int, until_s: float, users: int) -> None:
        self._file = file
        self._parts = _MOONCAKE_BLOCK // BLOCK_TOKENS
        self._until_ms = until_s * 1_000
        self._draw = ZipfUsers(users, 1.1, random.Random(seed))
        self._chats: dict[tuple[int, int], str] = {}

    def opening(self) -> Iterator[Prompt]:
        """Yield the requests as they came."""
        decoder = msgspec.json.Decoder(_Row)
        with gzip.open(self._file, "rb") as lines:
            for number, line in enumerate(lines):
                row = decoder.decode(line)
                if row.timestamp > self._until_ms:
                    return
                yield self._prompt(number, row)

    def following(self, record: object) -> None:
        """Nothing follows: the trace has all turns."""

    def _prompt(self, number: int, row: _Row) -> Prompt:
        hashes = row.hash_ids
        first = (hashes[0], hashes[1]) if len(hashes) > 1 else (hashes[0], -1 - number)
        chat = self._chats.setdefault(first, f"chat-{number}")
        keys = tuple(block_name(block, part) for block in hashes for part in range(self._parts))
        output = max(1, row.output_length)
        return Prompt(
            name=f"mooncake-{number}",
            user=self._draw.user_of(chat),
            at_us=row.timestamp * 1_000,
            prompt_tokens=row.input_length,
            output_tokens=output,
            max_tokens=max(_MOONCAKE_MAX_TOKENS, output),
            chat=chat,
            keys=keys[: (row.input_length - 1) // BLOCK_TOKENS][:KEYS_MAX],
        )
