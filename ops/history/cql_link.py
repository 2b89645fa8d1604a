"""The link to a CQL cluster: scylla-driver's threads on one side, coroutines on the other.

The driver answers on its own reactor thread; each answer is handed to the event loop that
asked. No thread waits for a query.
"""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from cassandra import (
    ConsistencyLevel,
    OperationTimedOut,
    RequestExecutionException,
    RequestValidationException,
)
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    Session,
)
from cassandra.connection import ConnectionException
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    TokenAwarePolicy,
)
from cassandra.protocol import ErrorMessage
from cassandra.query import PreparedStatement, tuple_factory

from contracts.errors import HistoryUnavailable
from ops.history.cql_queries import ALL, Kind, Query
from ops.history.cql_schema import prepare_schema, qualified

REQUEST_TIMEOUT_S = 5.0
RECONNECT_MAX_S = 2.0
"""How long a node that is back may go unnoticed."""
IN_FLIGHT_MAX = 4096
"""Most queries in flight; one more is refused with HistoryUnavailable."""

TROUBLE = (
    NoHostAvailable,
    OperationTimedOut,
    RequestExecutionException,
    ConnectionException,
    ErrorMessage,
)
"""What the driver raises when the cluster is the reason; anything else is a bug of ours."""

Row = tuple[Any, ...]


class CqlLink:
    """A connection to a cluster and the prepared statements; any event loop may use it."""

    def __init__(
        self,
        hosts: Sequence[str],
        port: int,
        keyspace: str,
        *,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self._hosts = tuple(hosts)
        self._port = port
        self._keyspace = keyspace
        self._credentials = None if username is None else (username, password or "")
        self._changing = threading.Lock()
        self._cluster: Cluster | None = None
        self._session: Session | None = None
        self._prepared: dict[Query, PreparedStatement] = {}
        self._in_flight = 0
        self._counting = threading.Lock()

    def connect(self) -> None:
        """Connect, bring the schema up to date, prepare all statements; blocks.

        Raises HistoryUnavailable if no host answers, or one refuses the log-in or the schema.
        """
        with self._changing:
            if self._session is not None:
                return
            cluster = self._make_cluster()
            try:
                session = cluster.connect()
                session.use_client_timestamp = False  # Servers' clocks differ less than ours.
                session.default_fetch_size = None  # Every statement names its limit.
                prepare_schema(session, self._keyspace)
                self._prepared = {query: self._prepare(session, query) for query in ALL}
            except (*TROUBLE, RequestValidationException) as error:
                cluster.shutdown()
                raise HistoryUnavailable(f"no CQL server can be used: {error}") from error
            except BaseException:
                cluster.shutdown()
                raise
            self._cluster, self._session = cluster, session

    def disconnect(self) -> None:
        """Close all connections; blocks. What is in flight fails with HistoryUnavailable."""
        with self._changing:
            cluster, self._cluster, self._session = self._cluster, None, None
            if cluster is not None:
                cluster.shutdown()

    def _make_cluster(self) -> Cluster:
        profile = ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy()),
            consistency_level=ConsistencyLevel.QUORUM,
            serial_consistency_level=ConsistencyLevel.SERIAL,
            request_timeout=REQUEST_TIMEOUT_S,
            row_factory=tuple_factory,
        )
        auth = None
        if self._credentials is not None:
            from cassandra.auth import PlainTextAuthProvider  # noqa: PLC0415 - rarely needed

            auth = PlainTextAuthProvider(*self._credentials)
        return Cluster(
            self._hosts,
            port=self._port,
            auth_provider=auth,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            reconnection_policy=ExponentialReconnectionPolicy(0.5, RECONNECT_MAX_S),
        )

    def _prepare(self, session: Session, query: Query) -> PreparedStatement:
        prepared = session.prepare(qualified(query.text, self._keyspace))
        prepared.is_idempotent = query.kind is not Kind.TRANSACTION
        if query.kind is Kind.SERIAL_READ:
            prepared.consistency_level = ConsistencyLevel.SERIAL
        return prepared

    async def rows(self, query: Query, *values: Any) -> list[Row]:
        """Return the rows that a query answers with.

        Raises HistoryUnavailable: the cluster did not answer in time, or too few replicas
        did; the effect of a write is unknown.
        """
        session = self._session
        if session is None:
            raise HistoryUnavailable("the history's CQL connection is not open")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Row]] = loop.create_future()
        self._enter()
        try:
            response = session.execute_async(self._prepared[query].bind(values))
            response.add_callbacks(
                lambda rows: self._hand_over(loop, answer, rows, None),
                lambda error: self._hand_over(loop, answer, None, error),
            )
        except TROUBLE as error:
            self._leave()
            raise HistoryUnavailable(f"the CQL cluster takes no query: {error}") from error
        return await answer

    async def row(self, query: Query, *values: Any) -> Row | None:
        """Return the first row, None if there is none."""
        rows = await self.rows(query, *values)
        return rows[0] if rows else None

    async def applied(self, query: Query, *values: Any) -> bool:
        """Run a lightweight transaction; return whether its condition held."""
        ((applied, *_),) = await self.rows(query, *values)
        return bool(applied)

    def _enter(self) -> None:
        with self._counting:
            if self._in_flight >= IN_FLIGHT_MAX:
                raise HistoryUnavailable(f"{IN_FLIGHT_MAX} queries to the history are in flight")
            self._in_flight += 1

    def _leave(self) -> None:
        with self._counting:
            self._in_flight -= 1

    def _hand_over(
        self,
        loop: asyncio.AbstractEventLoop,
        answer: asyncio.Future[list[Row]],
        rows: Sequence[Row] | None,
        error: BaseException | None,
    ) -> None:
        """Called by the driver's thread, once for each query."""
        self._leave()
        if isinstance(error, TROUBLE):
            error = HistoryUnavailable(f"the CQL cluster did not answer: {error}")
        try:
            loop.call_soon_threadsafe(_settle, answer, rows, error)
        except RuntimeError:
            # The loop was closed: nobody waits for this answer any more.
            return


def _settle(
    answer: asyncio.Future[list[Row]], rows: Sequence[Row] | None, error: BaseException | None
) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(list(rows or ()))
