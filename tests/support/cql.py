"""Finds a CQL server for the tests: a given address, Docker, or Cassandra on the machine.

In this order: the address in `PARLEY_TEST_CQL` (`host[:port]` or a `cql://` address); a
ScyllaDB container through testcontainers, where a Docker engine answers; Apache Cassandra
(`cassandra.py`). Where none is to be had, the test is skipped with what was tried.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cassandra.cluster import Cluster, NoHostAvailable

from ops.history.migrations import statements
from tests.support.cassandra import VERSION, PartMissing, run_cassandra

KEYSPACE = "parley_test"
SCYLLA_IMAGE = "scylladb/scylla:2025.1"
SCYLLA_START_S = 120


@dataclass(frozen=True)
class CqlServer:
    """Where a CQL server listens, and what it is."""

    url: str
    what: str


@contextmanager
def find_cql_server() -> Iterator[CqlServer]:
    """Yield a server that takes queries; stop it afterwards if it was started here.

    Skips the test, saying what was tried, where there is none.
    """
    given = os.environ.get("PARLEY_TEST_CQL", "")
    if given:
        url = given if given.startswith("cql://") else f"cql://{given}/{KEYSPACE}"
        yield CqlServer(url, f"the server at {given}")
        return
    tried = ["PARLEY_TEST_CQL is not set"]
    with ExitStack() as started:
        for start in (run_scylla, run_cassandra_server):
            try:
                server = started.enter_context(start())
            except PartMissing as reason:
                tried.append(str(reason))
                continue
            yield server
            return
    pytest.skip("no CQL server: " + "; ".join(tried))


@contextmanager
def run_cassandra_server() -> Iterator[CqlServer]:
    """Yield Apache Cassandra, run on the machine's Java."""
    with run_cassandra() as node:
        yield CqlServer(f"cql://127.0.0.1:{node.port}/{KEYSPACE}", f"Apache Cassandra {VERSION}")


@contextmanager
def run_scylla() -> Iterator[CqlServer]:
    """Yield ScyllaDB in a container, its keyspace made as `ops/history/scylla.cql` says."""
    require_docker()
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - slow to import

    container = (
        DockerContainer(SCYLLA_IMAGE)
        .with_exposed_ports(9042)
        .with_command(
            "--smp 1 --memory 1G --overprovisioned 1 --developer-mode 1 "
            "--skip-wait-for-gossip-to-settle 0"
        )
    )
    try:
        container.start()
    except Exception as error:
        raise PartMissing(f"Docker can't run {SCYLLA_IMAGE}: {error}") from error
    try:
        host, port = container.get_container_host_ip(), int(container.get_exposed_port(9042))
        make_keyspace(host, port)
        yield CqlServer(f"cql://{host}:{port}/{KEYSPACE}", f"{SCYLLA_IMAGE} in Docker")
    finally:
        container.stop()


def require_docker() -> None:
    """Raise PartMissing where nothing listens at the Docker engine's address."""
    address = urlsplit(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    try:
        if address.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect(address.path)
        else:
            socket.create_connection((address.hostname, address.port or 2375), timeout=5).close()
    except OSError as error:
        raise PartMissing(f"no Docker engine at {address.geturl()}") from error


def make_keyspace(host: str, port: int) -> None:
    """Wait until ScyllaDB answers, then run the operator's file, for one node."""
    path = Path(__file__).parents[2] / "ops" / "history" / "scylla.cql"
    (text,) = statements(path.read_text("utf-8"))
    text = text.replace("EXISTS parley", f"EXISTS {KEYSPACE}").replace("or': 3", "or': 1")
    give_up = time.monotonic() + SCYLLA_START_S
    while True:
        cluster = Cluster([host], port=port)
        try:
            cluster.connect().execute(text)
            return
        except NoHostAvailable as error:
            if time.monotonic() > give_up:
                raise PartMissing(f"{SCYLLA_IMAGE} did not answer in time") from error
            time.sleep(1)
        finally:
            cluster.shutdown()
