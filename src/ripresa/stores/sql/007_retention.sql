-- What stays of a run that was pruned, for audit: who it was, how it ended, the SHA-256 of its journal, who pruned it.
CREATE TABLE tombstones (
    number     INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL,
    workflow   TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    error      TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    pruned_at  INTEGER NOT NULL,
    by         TEXT    NOT NULL,
    reason     TEXT    NOT NULL
);

-- Since when nothing names a large value (0: something does, or nobody has looked): it is removed some time later, so
-- that what a step has put down and not yet named is not swept away under it.
ALTER TABLE blobs ADD COLUMN unused_since INTEGER NOT NULL DEFAULT 0;
