import subprocess
import sys

SCRIPT = """
import subprocess, sys
from ops.bootstrap.processes import adopt_orphans, descendants, end_descendants
adopt_orphans()
parent = "import subprocess; subprocess.Popen(['sleep', '300'], start_new_session=True)"
subprocess.run([sys.executable, "-c", parent], check=True)
print(end_descendants(), descendants())
"""


def test_orphan_in_a_session_of_its_own_is_found_and_ended() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "['sleep'] {}"
