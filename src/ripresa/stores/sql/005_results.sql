-- Results of steps that are kept for other runs: by key, forgotten by step or when they have expired (0: never).
CREATE TABLE results (
    key        TEXT    NOT NULL PRIMARY KEY,
    step       TEXT    NOT NULL,
    value      BLOB    NOT NULL,
    expires_at INTEGER NOT NULL
);

CREATE INDEX results_step ON results (step);
CREATE INDEX results_expires ON results (expires_at) WHERE expires_at > 0;
