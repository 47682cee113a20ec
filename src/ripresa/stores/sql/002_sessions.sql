-- What several runs share: sessions and the values they hold.

ALTER TABLE runs ADD COLUMN session TEXT NOT NULL DEFAULT '';

-- Runs without a session cost it nothing.
CREATE INDEX runs_session ON runs (session, created_at, id) WHERE session <> '';

CREATE TABLE sessions (
    id         TEXT    NOT NULL PRIMARY KEY,
    owner      TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    limits     TEXT    NOT NULL
) WITHOUT ROWID;

CREATE INDEX sessions_created ON sessions (created_at, id);

CREATE TABLE session_values (
    session    TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    value      BLOB    NOT NULL,
    version    INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (session, name)
) WITHOUT ROWID;
