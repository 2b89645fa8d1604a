-- Columns are named after the fields of contracts/records.py, in the same order.

CREATE TABLE users (
    user_id       TEXT PRIMARY KEY,
    created_at_ms INTEGER NOT NULL,
    tier          TEXT NOT NULL,
    email         TEXT UNIQUE,
    password_hash TEXT
) STRICT;

CREATE TABLE api_keys (
    key_id          TEXT PRIMARY KEY,
    user_id         TEXT NOT NULL,
    name            TEXT NOT NULL,
    secret_hash     TEXT NOT NULL UNIQUE,
    created_at_ms   INTEGER NOT NULL,
    last_used_at_ms INTEGER
) STRICT;

CREATE INDEX api_keys_of_user ON api_keys (user_id);

CREATE TABLE chats (
    chat_id       TEXT PRIMARY KEY,
    user_id       TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    active_at_ms  INTEGER NOT NULL,
    title         TEXT NOT NULL,
    model         TEXT,
    pinned        INTEGER NOT NULL,
    active_run_id TEXT,
    next_position INTEGER NOT NULL
) STRICT;

CREATE INDEX chats_by_activity ON chats (user_id, active_at_ms DESC, chat_id DESC);

-- An integer key, so that a full-text index over `content` can refer to its rows.
CREATE TABLE messages (
    number        INTEGER PRIMARY KEY,
    message_id    TEXT NOT NULL UNIQUE,
    chat_id       TEXT NOT NULL REFERENCES chats (chat_id) ON DELETE CASCADE,
    position      INTEGER NOT NULL,
    role          TEXT NOT NULL,
    content       TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    status        TEXT NOT NULL,
    run_id        TEXT,
    parent_id     TEXT,
    model         TEXT,
    finish_reason TEXT,
    usage         TEXT,
    UNIQUE (chat_id, position)
) STRICT;

CREATE TABLE runs (
    number          INTEGER PRIMARY KEY,
    run_id          TEXT NOT NULL UNIQUE,
    chat_id         TEXT NOT NULL REFERENCES chats (chat_id) ON DELETE CASCADE,
    user_id         TEXT NOT NULL,
    prompt_id       TEXT NOT NULL,
    answer_id       TEXT NOT NULL,
    created_at_ms   INTEGER NOT NULL,
    state           TEXT NOT NULL,
    model           TEXT NOT NULL,
    idempotency_key TEXT,
    body_hash       TEXT NOT NULL,
    finish_reason   TEXT,
    usage           TEXT NOT NULL,
    error           TEXT,
    ended_at_ms     INTEGER
) STRICT;

-- `number` grows with every accepted run, and a chat accepts one at a time: newest last.
CREATE INDEX runs_of_chat ON runs (chat_id, number);
CREATE UNIQUE INDEX runs_by_key ON runs (chat_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE summaries (
    chat_id       TEXT PRIMARY KEY REFERENCES chats (chat_id) ON DELETE CASCADE,
    position      INTEGER NOT NULL,
    text          TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

-- What a ping writes, to know that a write would work.
CREATE TABLE pings (
    number INTEGER PRIMARY KEY CHECK (number = 0),
    count  INTEGER NOT NULL
) STRICT;

INSERT INTO pings (number, count) VALUES (0, 0);
