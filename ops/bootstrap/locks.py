"""Compiles `ops/requirements/*.in` into locks with hashes that name no package index."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ops.bootstrap.install import REQUIREMENTS, ROOT, UV, install
from ops.bootstrap.prerequisites import client_environment
from ops.bootstrap.steps import BootstrapError, Command, alone


@dataclass(frozen=True)
class Lock:
    """One `NAME.in`: its overridden requirements, and the locks it must agree with."""

    name: str
    overrides: tuple[str, ...] = ()
    agrees_with: tuple[str, ...] = ()


LOCKS = (
    Lock("bootstrap"),
    Lock("node"),
    Lock("cpu", overrides=("cpu-overrides.txt",)),
    Lock("cuda"),
    Lock("test", agrees_with=("cpu.txt",)),
)


def main(args: Sequence[str]) -> int:
    """Recompiles the named locks, or all. Pins stay unless `--upgrade` stands among the words."""
    upgrade = "--upgrade" in args
    names = [word for word in args if word != "--upgrade"]
    unknown = set(names) - {lock.name for lock in LOCKS}
    if unknown:
        raise BootstrapError(f"there is no lock named {', '.join(sorted(unknown))}.")
    if not UV.exists():
        install(())
    with alone(ROOT):
        for lock in LOCKS:
            if not names or lock.name in names:
                print(f"  {lock.name}", flush=True)
                compile_lock(lock, upgrade=upgrade)
    return 0


def compile_lock(lock: Lock, *, upgrade: bool) -> None:
    """Writes `NAME.txt`: every platform and Python from 3.11, each file's hash, no addresses."""
    options: list[str] = []
    for file in lock.overrides:
        options += ["--override", file]
    for file in lock.agrees_with:
        options += ["--constraint", file]
    if upgrade:
        options.append("--upgrade")
    Command(ROOT / ".cache" / "logs" / f"lock-{lock.name}.log")(
        [
            *(UV, "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
            *("--no-emit-index-url", "--no-header", "--python-version", "3.11"),
            *(*options, f"{lock.name}.in", "--output-file", f"{lock.name}.txt"),
        ],
        cwd=REQUIREMENTS,
        env=client_environment(os.environ),
    )
