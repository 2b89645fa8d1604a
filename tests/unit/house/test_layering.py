"""The house holds: imports run one way and in no circle, and machines touch nothing outside."""

import ast
import graphlib
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[3]
PACKAGES = ("actors", "contracts", "edge", "ops")
OUTSIDE = frozenset(
    {
        "asyncio",
        "ctypes",
        "datetime",
        "fcntl",
        "http",
        "httpx",
        "logging",
        "multiprocessing",
        "nats",
        "os",
        "pathlib",
        "psutil",
        "queue",
        "random",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "structlog",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "torch",
        "transformers",
        "urllib",
        "uuid",
        "uvloop",
        "vllm",
        "zmq",
    }
)
REACHING_OUT = frozenset({"open", "print", "input", "exec", "eval", "__import__"})


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


def pure_modules(graph: grimp.ImportGraph) -> list[str]:
    """The modules that decide: `machine`, `state`, `*_machine` and `*_state`, wherever they are."""
    return sorted(
        module
        for module in graph.modules
        if module.startswith(("actors.", "ops."))
        and (name := module.rpartition(".")[2])
        and (name in ("machine", "state") or name.endswith(("_machine", "_state")))
    )


def test_layers_as_declared_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_imports_of_ours_form_no_circle(graph: grimp.ImportGraph) -> None:
    ours = {module for module in graph.modules if not graph.is_module_squashed(module)}
    order = graphlib.TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) & ours for module in ours}
    )
    order.prepare()  # raises CycleError with the circle


def test_machines_reach_nothing_outside_by_any_import(graph: grimp.ImportGraph) -> None:
    chains = [
        graph.find_shortest_chain(importer=module, imported=outside)
        for module in pure_modules(graph)
        for outside in sorted(OUTSIDE & graph.modules)
    ]
    assert [" -> ".join(chain) for chain in chains if chain] == []


def test_machines_import_no_shell_of_the_runtime(graph: grimp.ImportGraph) -> None:
    pure = set(pure_modules(graph))
    shells = [
        f"{module} -> {imported}"
        for module in sorted(pure)
        for imported in sorted(graph.find_modules_directly_imported_by(module) - pure)
        if imported.startswith("actors.runtime")
        and "asyncio" in graph.find_upstream_modules(imported)
    ]
    assert shells == []


def test_machines_call_no_builtin_that_reaches_out(graph: grimp.ImportGraph) -> None:
    calls = []
    for module in pure_modules(graph):
        file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        source = file if file.is_file() else file.with_suffix("") / "__init__.py"
        calls += [
            f"{module}:{node.lineno} {node.func.id}"
            for node in ast.walk(ast.parse(source.read_text()))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in REACHING_OUT
        ]
    assert calls == []
