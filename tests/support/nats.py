"""NATS servers for tests: on free ports, with a store that vanishes."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.chaos import nats_cluster as servers
from ops.chaos.nats_cluster import NatsNode


@contextmanager
def nats_node() -> Iterator[NatsNode]:
    """Run one server."""
    with nats_cluster(size=1) as (node,):
        yield node


@contextmanager
def nats_cluster(size: int = 3) -> Iterator[list[NatsNode]]:
    """Run a cluster; it has a leader when `connect` and `declare` succeed."""
    with (
        tempfile.TemporaryDirectory(prefix="parley-nats-") as home,
        servers.nats_cluster(Path(home), size) as cluster,
    ):
        yield list(cluster.nodes.values())
