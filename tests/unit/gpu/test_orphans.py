"""Children ask for their parent's death signal before they do anything else."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from actors.gpu.orphans import PARENT, end_processes, engine_processes, first_in_children
from tests.support.families import wait_gone

ROOT = Path(__file__).resolve().parents[3]
OWNER = """
import multiprocessing, time
from actors.gpu.orphans import first_in_children
if __name__ == "__main__":
    with first_in_children():
        child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
        child.start()
    print(child.pid, flush=True)
    time.sleep(600)
"""


def test_child_dies_with_its_killed_parent() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        owner.kill()
        wait_gone(child, patience_s=20)


def test_block_leaves_no_trace_in_the_owner() -> None:
    before = multiprocessing.spawn.get_preparation_data
    with first_in_children():
        assert os.environ[PARENT] == str(os.getpid())
        data = multiprocessing.spawn.get_preparation_data("child")
        assert data["init_main_from_name"] == "actors.gpu.orphans"
        assert "init_main_from_path" not in data
    assert multiprocessing.spawn.get_preparation_data is before
    assert PARENT not in os.environ


def test_end_processes_ends_what_descends_from_them() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600"]) as shell:
        while len(engine_processes(shell.pid)) < 2:
            time.sleep(0.01)
        family = engine_processes(os.getpid())
        end_processes([psutil.Process(shell.pid)])
        assert not any(p.is_running() and p.status() != "zombie" for p in family)
        end_processes(family)
