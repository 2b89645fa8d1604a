"""How long the parts of a stack may take to end."""

import pytest

from ops.setting_table import Role
from ops.stack import stop_time_ms


@pytest.mark.parametrize(
    ("role", "drain_s", "stop_ms"),
    [("gpu", 10, 15_000), ("gpu", 600, 605_000), ("edge", 600, 15_000)],
)
def test_worker_is_not_killed_while_it_drains(role: Role, drain_s: int, stop_ms: int) -> None:
    assert stop_time_ms(role, drain_s) == stop_ms
