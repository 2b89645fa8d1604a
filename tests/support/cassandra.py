"""Runs Apache Cassandra from its Maven artifacts on the machine's Java 17.

Not a distribution: the jars, a configuration of a dozen lines, and the options that
Cassandra's `conf/jvm17-server.options` (5.0) gives to Java 17.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.ports import free_port

VERSION = "5.0.6"
ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "cassandra"
DOWNLOAD_S = 300
START_S = 90
STOP_S = 15

POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>parley</groupId>
  <artifactId>cassandra-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.cassandra</groupId>
      <artifactId>cassandra-all</artifactId>
      <version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""

CONFIGURATION = """\
cluster_name: parley-test
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
data_file_directories: [{home}/data]
commitlog_directory: {home}/commitlog
saved_caches_directory: {home}/saved_caches
hints_directory: {home}/hints
cdc_raw_directory: {home}/cdc
commitlog_sync: periodic
commitlog_sync_period: 10s
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
storage_port: {storage_port}
native_transport_port: {port}
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "127.0.0.1:{storage_port}"
"""

EXPORTS = (
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
)
OPENS = (
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
)


class PartMissing(Exception):
    """Something that a test's server needs isn't on this machine; the text says what."""


class CassandraNode:
    """One server on 127.0.0.1 that can be killed and started again on the same data.

    Raises PartMissing when made: no Java 17, no Maven, no jars to be had.
    """

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self._home = home
        self._command = command(find_java(), fetch_jars(), home)
        self._server: subprocess.Popen[bytes] | None = None
        (home / "cassandra.yaml").write_text(
            CONFIGURATION.format(home=home, port=self.port, storage_port=free_port()), "utf-8"
        )

    def start(self) -> None:
        """Start it and return when it takes connections. Raises PartMissing: it did not."""
        log = self._home / "log.txt"
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                self._command, stdout=output, stderr=output, start_new_session=True
            )
        wait_until_it_listens(self._server, self.port, log)

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def stop(self) -> None:
        """End it as it should be."""
        if self._server is not None:
            stop(self._server)
            self._server = None


@contextmanager
def run_cassandra() -> Iterator[CassandraNode]:
    """Yield a fresh server; stop it and delete its data afterwards.

    Raises PartMissing: no Java 17, no Maven, no jars to be had, or the server did not start.
    """
    with tempfile.TemporaryDirectory(prefix="parley-cassandra-") as folder:
        node = CassandraNode(Path(folder))
        try:
            node.start()
            yield node
        finally:
            node.stop()


def find_java() -> str:
    """Return a Java 17: Cassandra 5.0 runs on 11 and 17, not on newer ones."""
    home = os.environ.get("JAVA_HOME")
    candidates = [str(Path(home) / "bin" / "java")] if home else []
    candidates += ["java", *map(str, Path("/usr/lib/jvm").glob("*17*/bin/java"))]
    for java in candidates:
        path = shutil.which(java)
        if path is None:
            continue
        answer = subprocess.run([path, "-version"], capture_output=True, text=True, check=False)
        if re.search(r'version "17[."]', answer.stderr):
            return path
    raise PartMissing("no Java 17 is installed for Apache Cassandra")


def fetch_jars() -> Path:
    """Return the folder of Cassandra's jars, fetched with Maven the first time."""
    jars = CACHE / VERSION
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise PartMissing("Maven is not installed to fetch Apache Cassandra")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="fetch-") as folder:
        fetching = Path(folder)
        (fetching / "pom.xml").write_text(POM, "utf-8")
        (fetching / "jars").mkdir()
        try:
            done = subprocess.run(
                [maven, "-B", "-q", "dependency:copy-dependencies", "-DoutputDirectory=jars"],
                cwd=fetching,
                capture_output=True,
                text=True,
                check=False,
                timeout=DOWNLOAD_S,
            )
        except subprocess.TimeoutExpired as error:
            raise PartMissing(f"Maven took over {DOWNLOAD_S} s for Cassandra's jars") from error
        if done.returncode != 0:
            lines = done.stdout.strip().splitlines() or ["no output"]
            raise PartMissing(f"Maven can't fetch Apache Cassandra: {lines[0]}")
        # Whole or not at all; of two that fetch at once, the first stays.
        if not jars.is_dir():
            (fetching / "jars").rename(jars)
    return jars


def command(java: str, jars: Path, home: Path) -> list[str]:
    """Return the server's command line."""
    agent = next(jars.glob("jamm-*.jar"))
    # Where the kernel can, the server dies with the test run, also when that is killed.
    leash = shutil.which("setpriv")
    return [
        *([leash, "--pdeathsig", "KILL"] if leash else []),
        java,
        "-Xms256m",
        "-Xmx768m",
        f"-javaagent:{agent}",
        "-Djdk.attach.allowAttachSelf=true",
        *(part for name in EXPORTS for part in ("--add-exports", f"{name}=ALL-UNNAMED")),
        *(part for name in OPENS for part in ("--add-opens", f"{name}=ALL-UNNAMED")),
        f"-Dcassandra.config=file://{home}/cassandra.yaml",
        f"-Dcassandra.storagedir={home}",
        "-Dcassandra-foreground=true",
        "-Dcassandra.ring_delay_ms=0",
        "-Dcassandra.skip_wait_for_gossip_to_settle=0",
        "-cp",
        f"{jars}/*",
        "org.apache.cassandra.service.CassandraDaemon",
    ]


def wait_until_it_listens(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return when the server accepts connections; PartMissing, with its last words, if not."""
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    words = log.read_text("utf-8", "replace").strip().splitlines() or ["no output"]
    raise PartMissing(f"Apache Cassandra did not start: {words[-1][:200]}")


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and wait until it is gone."""
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
