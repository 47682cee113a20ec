-- Everything about runs: the events, what lists show, large values, the inbox, who owns what.

-- One line per run. `owner` names the process that may advance it, `epoch` counts the owners it had.
CREATE TABLE runs (
    key        INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    workflow   TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    target     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    error      TEXT    NOT NULL,
    tags       TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    owner      TEXT
);

CREATE INDEX runs_created ON runs (created_at, id);
CREATE INDEX runs_status ON runs (status, created_at, id);
CREATE INDEX runs_workflow ON runs (workflow, created_at, id);
CREATE INDEX runs_workflow_status ON runs (workflow, status, created_at, id);

-- The tags of a run once more, so that a list by tag is a walk along the key.
CREATE TABLE tags (
    tag        TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    id         TEXT    NOT NULL,
    run        INTEGER NOT NULL,
    PRIMARY KEY (tag, created_at, id)
) WITHOUT ROWID;

-- The journal: one row per batch, `seq` the number of its first event. The key is the fence between two owners.
-- A table in order of arrival with the key beside it: with a thousand runs a group commit touches a third of the pages
-- that a table in order of the key would (WITHOUT ROWID), and a row above 1 KB does not spill to a page of its own.
CREATE TABLE events (
    run   INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    count INTEGER NOT NULL,
    data  BLOB    NOT NULL,
    PRIMARY KEY (run, seq)
);

-- Large values by their SHA-256 in hexadecimal.
CREATE TABLE blobs (
    digest TEXT NOT NULL PRIMARY KEY,
    data   BLOB NOT NULL
);

-- Requests that no batch has taken yet. A number is never given twice (AUTOINCREMENT).
CREATE TABLE inbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    run    INTEGER NOT NULL,
    kind   TEXT    NOT NULL,
    body   BLOB    NOT NULL
);

CREATE INDEX inbox_run ON inbox (run, number);

-- Which requests came once already; it outlives them, so that a double is noticed after the first was taken.
CREATE TABLE seen (
    run   INTEGER NOT NULL,
    dedup TEXT    NOT NULL,
    PRIMARY KEY (run, dedup)
) WITHOUT ROWID;
