-- Runs that have left memory because they only wait: when each is due (microseconds since 1970), 0 if it is not asleep.
-- The index holds those that are asleep and no others.
ALTER TABLE runs ADD COLUMN wake_at INTEGER NOT NULL DEFAULT 0;

CREATE INDEX runs_asleep ON runs (wake_at) WHERE wake_at > 0;
