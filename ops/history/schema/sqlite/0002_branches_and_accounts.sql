-- Alternatives (ADR 0018), files with a prompt, and what an account may do.

ALTER TABLE chats ADD COLUMN leaf_id TEXT;
ALTER TABLE chats ADD COLUMN branched INTEGER NOT NULL DEFAULT 0;
CREATE INDEX chats_pinned ON chats (user_id, active_at_ms DESC, chat_id DESC) WHERE pinned = 1;

ALTER TABLE messages ADD COLUMN attachments TEXT;

ALTER TABLE summaries ADD COLUMN upto_id TEXT NOT NULL DEFAULT '';

ALTER TABLE users ADD COLUMN sessions_from_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN settings TEXT;

-- Sessions that were ended before their tokens expire; swept as new ones come.
CREATE TABLE ended_sessions (
    session_id TEXT PRIMARY KEY,
    until_ms   INTEGER NOT NULL
) STRICT;

CREATE INDEX ended_sessions_by_time ON ended_sessions (until_ms);

-- Accounts that are gone, of which something may be left.
CREATE TABLE deletions (
    user_id TEXT PRIMARY KEY
) STRICT;

CREATE TABLE uploads (
    file_id       TEXT PRIMARY KEY,
    user_id       TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    name          TEXT NOT NULL,
    media_type    TEXT NOT NULL,
    kind          TEXT NOT NULL,
    size_bytes    INTEGER NOT NULL,
    text_chars    INTEGER NOT NULL
) STRICT;

CREATE INDEX uploads_of_user ON uploads (user_id, file_id);

CREATE TABLE shares (
    share_id      TEXT PRIMARY KEY,
    chat_id       TEXT NOT NULL UNIQUE REFERENCES chats (chat_id) ON DELETE CASCADE,
    record        TEXT NOT NULL
) STRICT;

-- The words of a message (contracts/words.py) and, as one more word, whose it is. The row id
-- is the message's number.
CREATE VIRTUAL TABLE found_messages USING fts5 (
    owner, words, tokenize = "unicode61 remove_diacritics 0"
);

-- Both functions belong to the connection that migrates (sqlite_file.py).
INSERT INTO found_messages (rowid, owner, words)
SELECT number, parley_owner(user_id), parley_words(content)
FROM messages JOIN chats USING (chat_id)
WHERE content <> '';
