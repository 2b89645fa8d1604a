"""What a child runs before its program: it dies with its parent, however the parent ends.

Run as `python -I -S launch.py PARENT_PID PROGRAM ARGUMENT…`. Asks the kernel for SIGKILL at
the parent's death (prctl(2), PR_SET_PDEATHSIG; it outlives exec), ends if the parent died
meanwhile, and becomes the program. Only the standard library, and little of it: this is in
the way of every start.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_COMMAND_NOT_FOUND = 127


def main(arguments: list[str]) -> None:
    """Become the program of `arguments`; returns never."""
    parent = int(arguments[0])
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    try:
        os.execv(arguments[1], arguments[1:])  # noqa: S606 - the list is the supervisor's own
    except OSError as error:
        sys.stderr.write(f"{arguments[1]} does not start ({error.strerror}).\n")
        sys.exit(_COMMAND_NOT_FOUND)


if __name__ == "__main__":
    main(sys.argv[1:])
