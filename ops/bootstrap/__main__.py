"""The commands behind the Makefile: `python -m ops.bootstrap run|install|page|test|lock|clean`."""

import os
import sys
from collections.abc import Callable, Sequence

from ops.bootstrap import install, locks, testrun
from ops.bootstrap.steps import BootstrapError

COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": install.run,
    "install": install.install,
    "page": install.page,
    "test": testrun.main,
    "lock": locks.main,
    "clean": install.clean,
}


def main(argv: Sequence[str]) -> int:
    """Performs one command and returns its exit status: 0 good, 1 failed, 2 wrong usage."""
    if not argv or argv[0] not in COMMANDS:
        print(f"usage: python -m ops.bootstrap {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return COMMANDS[argv[0]](argv[1:])
    except BootstrapError as failure:
        print(f"parley: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("parley: stopped; what was done so far is kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.stdout.flush()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an engine's import takes half with bytecode
    raise SystemExit(main(sys.argv[1:]))
