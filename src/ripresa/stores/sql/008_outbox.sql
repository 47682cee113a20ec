-- What runs send: written with the completion of the step that sends it, removed when it is delivered. Numbers are never
-- given twice, so that who was slower cannot remove what came later. `due_at` is the greatest number for what was given
-- up.
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    run    TEXT    NOT NULL,
    path   TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    target TEXT    NOT NULL,
    id     TEXT    NOT NULL,
    body   BLOB    NOT NULL,
    at     INTEGER NOT NULL,
    tries  INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL DEFAULT 0,
    error  TEXT    NOT NULL DEFAULT ''
);

CREATE INDEX outbox_run ON outbox (run, number);
CREATE INDEX outbox_due ON outbox (due_at);
