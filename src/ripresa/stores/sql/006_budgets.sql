-- What the runs of sessions have used (JSON by name of the limit), and what attempts under way have reserved.

ALTER TABLE sessions ADD COLUMN used TEXT NOT NULL DEFAULT '{}';

CREATE TABLE reservations (
    session TEXT NOT NULL,
    run     TEXT NOT NULL,
    place   TEXT NOT NULL,
    amounts TEXT NOT NULL,
    PRIMARY KEY (session, run, place)
) WITHOUT ROWID;
