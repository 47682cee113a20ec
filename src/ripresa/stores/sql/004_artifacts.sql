-- Result files with their versions: `scope` is the session, or the run if it has none; `content` names its pieces, which
-- are kept among the large values.

CREATE TABLE artifacts (
    scope      TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    run        TEXT    NOT NULL,
    path       TEXT    NOT NULL,
    media_type TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    content    TEXT    NOT NULL,
    PRIMARY KEY (scope, name, version)
) WITHOUT ROWID;

CREATE INDEX artifacts_run ON artifacts (run, name, version);
