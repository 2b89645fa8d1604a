"""`CqlHistory`: history in ScyllaDB or Apache Cassandra, for many machines."""

# ruff: noqa: D102 - the port says what each call promises

import asyncio
from collections.abc import Sequence

from ops.history import cql_queries as q
from ops.history.cql_accounts import CqlAccounts
from ops.history.cql_chats import CqlChats
from ops.history.cql_link import CqlLink
from ops.history.cql_responses import CqlResponses
from ops.history.cql_shares import CqlShares


class CqlHistory(CqlAccounts, CqlChats, CqlShares, CqlResponses):
    """History in the keyspace `keyspace` of the cluster that `hosts` belong to.

    Reads and writes ask a quorum of replicas. The keyspace is made when missing, with at most
    three replicas; `scylla.cql` says what an operator may want instead. A cluster that does
    not answer within 5 s raises HistoryUnavailable. Any number of event loops may call.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        port: int,
        keyspace: str,
        *,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        link = CqlLink(hosts, port, keyspace, username=username, password=password)
        CqlAccounts.__init__(self, link)
        CqlShares.__init__(self, link)
        CqlResponses.__init__(self, link)
        CqlChats.__init__(self, link, self)

    async def open(self) -> None:
        await asyncio.to_thread(self._link.connect)

    async def close(self) -> None:
        await asyncio.to_thread(self._link.disconnect)

    async def delete_user_data(self, user_id: str) -> None:
        await self._forget_chats(user_id)
        await self._forget_responses(user_id)
        await self._forget_user(user_id)
        await self._link.rows(q.DELETE_DELETION, user_id)

    async def ping(self) -> None:
        await self._link.rows(q.PING)
