-- Stored responses of the API (ADR 0021), and what a key may be used for.

CREATE TABLE responses (
    response_id     TEXT PRIMARY KEY,
    user_id         TEXT NOT NULL,
    run_id          TEXT NOT NULL,
    model           TEXT NOT NULL,
    created_at_ms   INTEGER NOT NULL,
    request         TEXT NOT NULL,
    items           TEXT NOT NULL,
    previous_id     TEXT,
    background      INTEGER NOT NULL,
    idempotency_key TEXT,
    body_hash       TEXT NOT NULL,
    state           TEXT NOT NULL,
    text            TEXT NOT NULL,
    finish_reason   TEXT,
    usage           TEXT NOT NULL,
    error           TEXT,
    ended_at_ms     INTEGER
) STRICT;

CREATE INDEX responses_of_user ON responses (user_id, response_id);
CREATE UNIQUE INDEX responses_by_key ON responses (user_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

ALTER TABLE api_keys ADD COLUMN scope TEXT NOT NULL DEFAULT '';
