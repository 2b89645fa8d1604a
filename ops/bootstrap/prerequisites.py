"""What the machine must have, each lack named in one sentence with what to do."""

import ctypes
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from ops.bootstrap.steps import BootstrapError

GIB = 1 << 30
DISK_NEEDED_GIB = {"cpu": 9, "cuda": 16}
"""Free space for a first installation: the environment (5.5 GiB with the CPU engine), what the
package client unpacks beside it when its cache lies on the same disk, the page and a margin."""

DEFAULT_PORT = 8000
NODE_MIN = (20, 19)

ENGINE_LIBRARY = "libnuma.so.1"
ENGINE_LIBRARY_PACKAGE = "libnuma1"
"""What the CPU engine's compiled part links to and no Python package brings."""


def engine_flavour() -> str:
    """`cuda` where the NVIDIA driver lists a GPU, else `cpu`."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "cpu"
    try:
        answer = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "cpu"
    return "cuda" if answer.returncode == 0 and "GPU " in answer.stdout else "cpu"


def require_system() -> None:
    """Raises BootstrapError where the system, Python's venv module or git is missing."""
    if sys.platform != "linux":
        raise BootstrapError("Parley runs on Linux: start it in a Linux machine or container.")
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise BootstrapError(
            f"Python {version} here cannot make virtual environments: install its venv module "
            f"(Debian, Ubuntu: apt-get install python{version}-venv)."
        )
    if shutil.which("git") is None:
        raise BootstrapError("git is missing: install it (Debian, Ubuntu: apt-get install git).")


def lacks_engine_library() -> bool:
    """Whether the CPU engine's library is missing. True only where this user can install it.

    Raises BootstrapError where it is missing and someone else must install it.
    """
    try:
        ctypes.CDLL(ENGINE_LIBRARY)
    except OSError:
        if os.geteuid() == 0 and shutil.which("apt-get"):
            return True
        raise BootstrapError(
            f"the engine needs {ENGINE_LIBRARY}: install it "
            f"(Debian, Ubuntu: sudo apt-get install {ENGINE_LIBRARY_PACKAGE})."
        ) from None
    return False


def require_disk(root: Path, flavour: str) -> None:
    """Raises BootstrapError unless the disk of `root` has room for a first installation."""
    needed, free = DISK_NEEDED_GIB[flavour], shutil.disk_usage(root).free / GIB
    if free < needed:
        raise BootstrapError(
            f"the installation needs {needed} GiB and {root} has {free:.1f} GiB free: "
            "free some space or clone Parley onto a larger disk."
        )


def address_of(args: Sequence[str], env: Mapping[str, str], root: Path) -> tuple[str, int]:
    """Where `parley up` will listen: flag > environment > parley.toml > 127.0.0.1:8000.

    Raises BootstrapError for a port that is no port.
    """
    found: dict[str, str] = {}
    for index, word in enumerate(args):
        name, equals, value = word.partition("=")
        if name in ("--host", "--port"):
            following = args[index + 1] if index + 1 < len(args) else ""
            found[name[2:]] = value if equals else following
    file = root / "parley.toml"
    try:
        table = tomllib.loads(file.read_text()) if file.is_file() else {}
    except tomllib.TOMLDecodeError as error:
        raise BootstrapError(f"{file} is not valid TOML ({error}).") from error

    def setting(name: str, default: str) -> str:
        return found.get(name) or env.get(f"PARLEY_{name.upper()}") or str(table.get(name, default))

    port = setting("port", str(DEFAULT_PORT))
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise BootstrapError(f"{port!r} is no port: name one from 1 to 65535 with --port.")
    return setting("host", "127.0.0.1"), int(port)


def require_port(host: str, port: int) -> None:
    """Raises BootstrapError where another program listens on the address that Parley would take."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise BootstrapError(
                f"port {port} is for root only: choose another, "
                'for example make run ARGS="--port 8000".'
            ) from error
        except OSError as error:
            raise BootstrapError(
                f"port {port} of {host} cannot be taken ({error.strerror}): stop what listens "
                f'there or choose another, for example make run ARGS="--port {port % 65535 + 1}".'
            ) from error


def node_program() -> Path | None:
    """The machine's own Node, where it and npm are on the PATH and new enough."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return None
    try:
        answer = subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    numbers = answer.stdout.strip().removeprefix("v").split(".")[:2]
    version = tuple(int(number) for number in numbers if number.isdecimal())
    return Path(node) if version >= NODE_MIN else None


def client_environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for package clients: no questions, few retries, one set of certificates.

    uv and npm do not read pip's settings, so a machine behind a mirror would need all three.
    """
    result = dict(os.environ if env is None else env)
    for ours, theirs in (
        ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"),
        ("SSL_CERT_FILE", "PIP_CERT"),
        ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"),
    ):
        if theirs in result:
            result.setdefault(ours, result[theirs])
    result |= {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_RETRIES": "2",
        "UV_NO_PROGRESS": "1",
        "CI": "true",
    }
    result.pop("VIRTUAL_ENV", None)
    return result
