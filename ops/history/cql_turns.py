"""Turns in CQL: the newest in the chat's row, the settled ones in tables of their own."""

import asyncio
from dataclasses import dataclass

from contracts.base import Wire
from contracts.branches import Tree, page
from contracts.records import Chat, Message, MessageNode, RunRecord, Summary
from ops.history import cql_found as index
from ops.history import cql_queries as q
from ops.history.cql_link import CqlLink
from ops.history.rows import columns, from_row, to_row

BUCKET = 256
"""Positions of one partition of `messages`."""


class Turn(Wire):
    """What one accepted prompt brought, as the chat's row holds it: its messages by position,
    the answer last (alone, if it is another one to an older prompt), and its run."""

    messages: tuple[Message, ...]
    run: RunRecord


@dataclass(frozen=True, slots=True)
class ChatState:
    """A chat's row. `deleting`: readers take the chat for gone."""

    chat: Chat
    turn: Turn | None
    summary: Summary | None
    deleting: bool


async def settle(link: CqlLink, turn: Turn) -> None:
    """Copy a finished turn to the tables; may be repeated."""
    run = turn.run
    writes = [link.rows(q.INSERT_RUN, *to_row(run))]
    if run.idempotency_key:
        writes.append(link.rows(q.INSERT_RUN_KEY, run.chat_id, run.idempotency_key, run.run_id))
    for message in turn.messages:
        place = message.chat_id, message.message_id, message.position
        writes.append(link.rows(q.INSERT_PLACE, *place))
        writes.append(link.rows(q.INSERT_MESSAGE, message.position // BUCKET, *to_row(message)))
    await asyncio.gather(*writes)


async def read_messages(
    link: CqlLink, state: ChatState, *, start: int | None, limit: int, ascending: bool
) -> list[Message]:
    """Return up to `limit` messages by position from `start` (None: the respective end)."""
    last = state.chat.next_position - 1
    newest = state.turn.messages if state.turn is not None else ()
    if ascending:
        first = max(0, start or 0)
        buckets = range(first // BUCKET, last // BUCKET + 1)
    else:
        first = last if start is None else min(start, last)
        buckets = range(first // BUCKET, -1, -1)
    found: list[Message] = []
    for bucket in buckets:
        missing = limit - len(found)
        if missing <= 0:
            break
        query = q.MESSAGES_UP if ascending else q.MESSAGES_DOWN
        rows = await link.rows(query, state.chat.chat_id, bucket, first, missing)
        settled = [from_row(Message, row) for row in rows]
        here = {
            message.position: message for message in newest if message.position // BUCKET == bucket
        }
        here = {p: m for p, m in here.items() if (p >= first if ascending else p <= first)}
        here |= {message.position: message for message in settled}
        found += [here[position] for position in sorted(here, reverse=not ascending)][:missing]
    return found


async def read_nodes(link: CqlLink, state: ChatState) -> list[MessageNode]:
    """Return the tree of a chat's messages, by position."""
    nodes = {
        message.position: MessageNode(
            **{name: getattr(message, name) for name in columns(MessageNode)}
        )
        for message in (state.turn.messages if state.turn is not None else ())
    }
    for bucket in range(max(0, state.chat.next_position - 1) // BUCKET + 1):
        for row in await link.rows(q.BUCKET_NODES, state.chat.chat_id, bucket):
            node = from_row(MessageNode, row)
            nodes[node.position] = node
    return [nodes[position] for position in sorted(nodes)]


async def read_path(
    link: CqlLink,
    state: ChatState,
    leaf_id: str | None,
    *,
    start: int | None,
    limit: int,
    ascending: bool,
) -> list[Message]:
    """Return up to `limit` messages of the path that ends in `leaf_id` (None: the path shown),
    by position from `start`."""
    if not state.chat.branched and leaf_id in (None, state.chat.leaf_id):
        return await read_messages(link, state, start=start, limit=limit, ascending=ascending)
    tree = Tree(await read_nodes(link, state))
    if leaf_id is not None and leaf_id not in tree:
        return []
    way = tree.path(leaf_id or state.chat.leaf_id)
    wanted = [n.position for n in page(way, start=start, limit=limit, ascending=ascending)]
    found = await asyncio.gather(
        *(
            read_messages(link, state, start=low, limit=high - low + 1, ascending=True)
            for low, high in _runs(sorted(wanted))
        )
    )
    messages = [message for run in found for message in run]
    return messages if ascending else messages[::-1]


def _runs(positions: list[int]) -> list[tuple[int, int]]:
    """Return ascending positions as first and last of their unbroken runs."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and runs[-1][1] == position - 1:
            runs[-1] = (runs[-1][0], position)
        else:
            runs.append((position, position))
    return runs


async def read_run(link: CqlLink, state: ChatState, run_id: str) -> RunRecord | None:
    """Return a run of the chat."""
    if state.turn is not None and state.turn.run.run_id == run_id:
        return state.turn.run
    row = await link.row(q.RUN, run_id)
    run = None if row is None else from_row(RunRecord, row)
    return run if run is not None and run.chat_id == state.chat.chat_id else None


async def read_run_by_key(link: CqlLink, state: ChatState, key: str) -> RunRecord | None:
    """Return the chat's run with an idempotency key."""
    if state.turn is not None and state.turn.run.idempotency_key == key:
        return state.turn.run
    row = await link.row(q.RUN_KEY, state.chat.chat_id, key)
    return None if row is None else await read_run(link, state, row[0])


async def read_message(link: CqlLink, state: ChatState, message_id: str) -> Message | None:
    """Return a message of the chat."""
    for message in state.turn.messages if state.turn is not None else ():
        if message.message_id == message_id:
            return message
    chat_id = state.chat.chat_id
    place = await link.row(q.PLACE, chat_id, message_id)
    if place is None:
        return None
    row = await link.row(q.MESSAGE, chat_id, place[0] // BUCKET, place[0])
    return None if row is None else from_row(Message, row)


async def newest_runs(
    link: CqlLink, state: ChatState, messages: list[Message], limit: int
) -> list[RunRecord]:
    """Return the finished runs of `messages`, which are newest first, up to `limit`."""
    run_ids = list(dict.fromkeys(m.run_id for m in messages if m.run_id is not None))
    ended = [run_id for run_id in run_ids if run_id != state.chat.active_run_id]
    found = await asyncio.gather(*(read_run(link, state, run_id) for run_id in ended[:limit]))
    return [run for run in found if run is not None]


async def forget_turns(link: CqlLink, state: ChatState) -> None:
    """Delete all of a chat that stands in the tables; may be repeated, also half-way."""
    chat_id = state.chat.chat_id
    user_id = state.chat.user_id
    if state.turn is not None:
        newest = state.turn.messages
        await _forget(
            link,
            chat_id,
            [message.message_id for message in newest],
            [state.turn.run.run_id],
            [state.turn.run.idempotency_key],
        )
        await index.forget(link, user_id, [(m.created_at_ms, m.message_id) for m in newest])
    for bucket in range(max(0, state.chat.next_position - 1) // BUCKET + 1):
        rows = await link.rows(q.BUCKET_IDS, chat_id, bucket)
        run_ids = list({run_id for _, run_id, _ in rows if run_id is not None})
        runs = await asyncio.gather(*(read_run(link, state, run_id) for run_id in run_ids))
        keys = [run.idempotency_key for run in runs if run is not None]
        await _forget(link, chat_id, [message_id for message_id, _, _ in rows], run_ids, keys)
        await index.forget(link, user_id, [(at, message_id) for message_id, _, at in rows])
        await link.rows(q.DELETE_BUCKET, chat_id, bucket)


async def _forget(
    link: CqlLink,
    chat_id: str,
    message_ids: list[str],
    run_ids: list[str],
    keys: list[str | None],
) -> None:
    # Keys before runs: a repeat finds the keys through the runs that are left.
    await asyncio.gather(*(link.rows(q.DELETE_RUN_KEY, chat_id, key) for key in keys if key))
    await asyncio.gather(
        *(link.rows(q.DELETE_PLACE, chat_id, message_id) for message_id in message_ids),
        *(link.rows(q.DELETE_RUN, run_id) for run_id in run_ids),
    )
