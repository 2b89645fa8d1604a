"""The port's calls on chats and runs as SQL, each within its caller's transaction."""

import sqlite3
from collections.abc import Sequence
from typing import Literal

import msgspec

from contracts.branches import Tree, goes_on, page
from contracts.errors import HistoryConflict
from contracts.ports.history import ChatCursor
from contracts.records import Chat, Message, MessageNode, RunRecord, SessionRecord, Summary
from ops.history import sqlite_found as found
from ops.history.sqlite_rows import insert, one, some, write

Order = Literal["ASC", "DESC"]


def ping(db: sqlite3.Connection) -> None:
    """Write something."""
    db.execute("UPDATE pings SET count = count + 1")


def list_chats(
    db: sqlite3.Connection,
    user_id: str,
    before: ChatCursor | None,
    limit: int,
    pinned: bool | None,
) -> list[Chat]:
    """Return a page of a user's chats, most recently active first."""
    which = "user_id = ?" if pinned is None else f"user_id = ? AND pinned = {int(pinned)}"
    order = "ORDER BY active_at_ms DESC, chat_id DESC LIMIT ?"
    if before is None:
        return some(db, Chat, f"{which} {order}", user_id, limit)
    return some(
        db,
        Chat,
        f"{which} AND (active_at_ms, chat_id) < (?, ?) {order}",
        user_id,
        before.active_at_ms,
        before.chat_id,
        limit,
    )


def update_chat(
    db: sqlite3.Connection,
    chat_id: str,
    title: str | None,
    model: str | None,
    pinned: bool | None,
    leaf_id: str | None,
    title_was: str | None,
) -> Chat | None:
    """Change what is not None; the title only if it is `title_was`, or that is None."""
    db.execute(
        "UPDATE chats SET title = iif(title = coalesce(?, title), coalesce(?, title), title), "
        "model = coalesce(?, model), "
        "pinned = coalesce(?, pinned), leaf_id = coalesce(?, leaf_id), "
        "branched = branched OR ? WHERE chat_id = ?",
        (title_was, title, model, pinned, leaf_id, leaf_id is not None, chat_id),
    )
    return one(db, Chat, "chat_id = ?", chat_id)


def delete_chat(db: sqlite3.Connection, chat_id: str) -> bool:
    """Delete a chat and, by the schema's cascades, all that belongs to it."""
    chat = one(db, Chat, "chat_id = ?", chat_id)
    if chat is None:
        return False
    if chat.active_run_id is not None:
        raise HistoryConflict(f"{chat.active_run_id} is active in this chat")
    found.forget_chat(db, chat_id)
    db.execute("DELETE FROM chats WHERE chat_id = ?", (chat_id,))
    return True


def messages(
    db: sqlite3.Connection,
    chat_id: str,
    start: int | None,
    limit: int,
    order: Order,
) -> list[Message]:
    """Return messages by position from `start` on."""
    tail = f"ORDER BY position {order} LIMIT ?"
    if start is None:
        return some(db, Message, f"chat_id = ? {tail}", chat_id, limit)
    compare = ">=" if order == "ASC" else "<="
    return some(db, Message, f"chat_id = ? AND position {compare} ? {tail}", chat_id, start, limit)


def nodes(db: sqlite3.Connection, chat_id: str) -> list[MessageNode]:
    """Return the tree of a chat's messages."""
    return some(db, MessageNode, "chat_id = ? ORDER BY position", chat_id)


def path(
    db: sqlite3.Connection,
    chat_id: str,
    leaf_id: str | None,
    start: int | None,
    limit: int,
    order: Order,
) -> list[Message]:
    """Return messages of a path by position from `start` on."""
    chat = one(db, Chat, "chat_id = ?", chat_id)
    if chat is None:
        return []
    if not chat.branched and leaf_id in (None, chat.leaf_id):
        return messages(db, chat_id, start, limit, order)
    tree = Tree(nodes(db, chat_id))
    if leaf_id is not None and leaf_id not in tree:
        return []
    way = tree.path(leaf_id or chat.leaf_id)
    wanted = page(way, start=start, limit=limit, ascending=order == "ASC")
    positions = ", ".join(str(node.position) for node in wanted)
    condition = f"chat_id = ? AND position IN ({positions}) ORDER BY position {order}"
    return some(db, Message, condition, chat_id)


def accept_prompt(
    db: sqlite3.Connection,
    chat_id: str,
    prompt: Message | None,
    answer: Message,
    run: RunRecord,
    title: str,
    branch: bool,
) -> Chat:
    """Store the turn and make its run the active one; see the port."""
    chat = one(db, Chat, "chat_id = ?", chat_id)
    if chat is None:
        raise HistoryConflict("the chat is gone")
    if one(db, RunRecord, "chat_id = ? AND run_id = ?", chat_id, run.run_id) is not None:
        return chat
    if chat.active_run_id is not None:
        raise HistoryConflict(f"{chat.active_run_id} is active in this chat")
    first = prompt or answer
    if first.position != chat.next_position:
        raise HistoryConflict(f"the next position is {chat.next_position}, not {first.position}")
    if not branch and not goes_on(first, chat.leaf_id):
        raise HistoryConflict(f"{chat.leaf_id} is shown, not {first.parent_id}")
    key = run.idempotency_key
    if key and one(db, RunRecord, "chat_id = ? AND idempotency_key = ?", chat_id, key):
        raise HistoryConflict("another run has this idempotency key")
    if prompt is not None:
        found.index(db, insert(db, prompt), chat.user_id, prompt.content)
    insert(db, answer)
    insert(db, run)
    after = msgspec.structs.replace(
        chat,
        title=chat.title or title,
        active_run_id=run.run_id,
        active_at_ms=run.created_at_ms,
        next_position=answer.position + 1,
        leaf_id=answer.message_id,
        branched=chat.branched or branch,
    )
    write(db, after, "chat_id = ?", chat_id)
    return after


def finish_run(db: sqlite3.Connection, chat_id: str, answer: Message, run: RunRecord) -> bool:
    """Store the end of the active run; False if it is not active."""
    cleared = db.execute(
        "UPDATE chats SET active_run_id = NULL WHERE chat_id = ? AND active_run_id = ?",
        (chat_id, run.run_id),
    )
    if cleared.rowcount == 0:
        return False
    write(db, answer, "message_id = ?", answer.message_id)
    write(db, run, "run_id = ?", run.run_id)
    number = db.execute("SELECT number FROM messages WHERE message_id = ?", (answer.message_id,))
    for (row,) in number.fetchall():
        found.index(db, row, run.user_id, answer.content)
    return True


def load_session(
    db: sqlite3.Connection, chat_id: str, message_count: int, run_count: int
) -> SessionRecord | None:
    """Return what a session actor is rebuilt from."""
    chat = one(db, Chat, "chat_id = ?", chat_id)
    if chat is None:
        return None
    newest: Sequence[Message] = path(db, chat_id, None, None, message_count, "DESC")
    ended = "chat_id = ? AND state <> 'active' ORDER BY number DESC LIMIT ?"
    return SessionRecord(
        chat=chat,
        messages=tuple(reversed(newest)),
        active_run=one(db, RunRecord, "run_id = ?", chat.active_run_id),
        recent_runs=tuple(some(db, RunRecord, ended, chat_id, run_count)),
        summary=one(db, Summary, "chat_id = ?", chat_id),
    )


def put_summary(db: sqlite3.Connection, summary: Summary, replaces: int | None) -> None:
    """Store the summary in place of the one that reaches to `replaces`."""
    if one(db, Chat, "chat_id = ?", summary.chat_id) is None:
        raise HistoryConflict("the chat is gone")
    present = one(db, Summary, "chat_id = ?", summary.chat_id)
    if present == summary:
        return
    reached = None if present is None else present.position
    if reached != replaces:
        raise HistoryConflict(f"the summary reaches to {reached}, not {replaces}")
    db.execute("DELETE FROM summaries WHERE chat_id = ?", (summary.chat_id,))
    insert(db, summary)
