"""A guest of whatever stack a module runs."""

from collections.abc import Iterator

import pytest

from ops.chaos.stack import RunningStack
from tests.support.guest import Guest


@pytest.fixture
def guest(stack: RunningStack) -> Iterator[Guest]:
    client = Guest(stack)
    yield client
    client.close()
