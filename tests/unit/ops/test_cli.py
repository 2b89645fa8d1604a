"""The command line: exit codes, where words go, and what stays out of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ops.cli
from contracts.scheduling import RunList, WorkerView
from ops.cli import look, main
from ops.model_files import NoModelFiles


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command in this process; return status, standard output and standard error."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    code = caught.value.code
    out, err = capsys.readouterr()
    return (code if isinstance(code, int) else 1), out, err


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    for name in ("PARLEY_HOME", "PARLEY_NATS", "PARLEY_PORT", "PARLEY_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def test_help_names_every_command_and_loads_none() -> None:
    script = (
        "import sys\n"
        "from ops.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'asyncio', 'nats', 'structlog', 'litestar', 'vllm', 'httpx'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    for name in ops.cli._COMMANDS:
        assert f"  {name} " in answer.stdout
    assert "heavy: []" in answer.stdout


@pytest.mark.parametrize("name", sorted(set(ops.cli._COMMANDS)))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, name, "--help")
    assert status == 0
    assert "Usage: parley " + name in out
    assert not err


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, "parley, version 0.1.0\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("up", "--nonsense"),
        ("up", "--port", "x"),
        ("up", "--config", "missing.toml"),
        ("run", "not-a-run-id"),
        ("run",),
        ("user", "tier", "a@b", "gold"),
        ("user", "add", "no-address"),
    ],
)
def test_wrong_usage_exits_2_with_a_sentence_on_standard_error(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["ps", "runs", "queue", "workers"])
def test_looking_where_no_stack_is_exits_1_and_says_what_to_do(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, command, "--json")
    assert (status, out) == (1, "")
    assert err.startswith("parley: There is no stack at ")
    assert "parley up" in err
    assert err.count("\n") == 1


def test_a_model_without_files_is_named_with_what_to_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("{}")
    status, _, err = run(capsys, "up", "--model", "half")
    assert status == 1
    assert "lacks tokenizer.json, *.safetensors" in err
    status, _, err = run(capsys, "up", "--model", "nowhere")
    assert status == 1
    assert "There is no model nowhere" in err
    assert "--model PATH" in err


def test_debug_may_stand_anywhere_and_lets_the_error_through(tmp_path: Path) -> None:
    with pytest.raises(NoModelFiles):
        main(["up", "--model", "nowhere", "--debug", "--home", str(tmp_path)])


def test_accounts_are_added_listed_and_changed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_PASSWORD", "a long enough one")
    status, out, _ = run(capsys, "user", "add", "Ada@Example.org", "--tier", "paid", "--json")
    assert status == 0
    account = json.loads(out)
    assert (account["email"], account["tier"]) == ("ada@example.org", "paid")
    assert run(capsys, "user", "tier", "ada@example.org", "free")[0] == 0
    _, out, _ = run(capsys, "user", "list", "--json")
    assert json.loads(out) == [{**account, "tier": "free"}]


def test_an_address_has_one_account(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_PASSWORD", "a long enough one")
    assert run(capsys, "user", "add", "a@b.c")[0] == 0
    status, _, err = run(capsys, "user", "add", "a@b.c")
    assert status == 1
    assert err == "parley: a@b.c has an account already.\n"


def test_a_short_password_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_PASSWORD", "short")
    status, _, err = run(capsys, "user", "add", "a@b.c")
    assert status == 2
    assert "8 to 256 characters" in err


def test_a_key_is_shown_once_and_stored_as_a_hash(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "key", "create", "ci", "--json")
    assert status == 0
    key = json.loads(out)["key"]
    assert key.startswith("pk_")
    stored = b"".join(path.read_bytes() for path in Path(".parley").iterdir() if path.is_file())
    assert key.encode() not in stored


def test_a_key_for_a_stranger_says_how_to_make_the_account(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, _, err = run(capsys, "key", "create", "ci", "--user", "who@example.org")
    assert status == 1
    assert "parley user add who@example.org" in err


def test_standing_of_a_pool_says_level_reason_and_waits() -> None:
    calm = look.standing("fast", RunList(queued=0))
    assert calm == "pool fast: normal; 0 wait"
    pressed = RunList(
        queued=7,
        level="capped",
        why="the best tier waited 1.1 s",
        waits_ms={"paid": 1_100, "free": 20_000},
    )
    assert look.standing("fast", pressed) == (
        "pool fast: capped (the best tier waited 1.1 s); 7 wait; "
        "a newcomer waits: paid 1.1 s, free 20.0 s"
    )


def test_a_worker_in_quarantine_is_shown_as_such() -> None:
    view = WorkerView(
        worker="gpu_1",
        model="m",
        engine="sim",
        state="ready",
        slots=2,
        running=0,
        waiting=0,
        kv_used=0.0,
        pid=1,
        host="h",
        incarnation=1,
        quarantined_ms=9_000,
    )
    row = look._worker_row(view, "default")
    assert (row["state"], row["quarantinedMs"]) == ("quarantined", 9_000)
