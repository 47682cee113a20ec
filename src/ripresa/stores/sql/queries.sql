-- The statements of the SQLite store by name. "index" names what serves each (a table means its integer or clustered
-- key; "none" an insert that looks nothing up); a test compares it with the plan.

-- name: append
-- index: none
INSERT OR IGNORE INTO events (run, seq, count, data) VALUES (?, ?, ?, ?);

-- name: create
-- index: none
INSERT OR IGNORE INTO runs (id, workflow, version, status, target, created_at, updated_at, error, tags, session,
    epoch, owner)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?);

-- name: set_head
-- index: runs
UPDATE runs SET version = ?, status = ?, target = ?, updated_at = ?, error = ?, tags = ?, wake_at = 0,
    session = ?, owner = CASE WHEN ? THEN NULL ELSE owner END WHERE key = ?;

-- name: add_tag
-- index: none
INSERT OR IGNORE INTO tags (tag, created_at, id, run) VALUES (?, ?, ?, ?);

-- name: remove_tag
-- index: tags
DELETE FROM tags WHERE tag = ? AND created_at = ? AND id = ?;

-- name: add_blob
-- index: none
INSERT INTO blobs (digest, data) VALUES (?, ?)
ON CONFLICT (digest) DO UPDATE SET unused_since = 0 WHERE unused_since > 0;

-- name: blob
-- index: sqlite_autoindex_blobs_1
SELECT data FROM blobs WHERE digest = ?;

-- name: take
-- index: inbox
DELETE FROM inbox WHERE number = ? AND run = ?;

-- name: read
-- index: sqlite_autoindex_events_1, sqlite_autoindex_runs_1
SELECT seq, count, data FROM events
WHERE run = (SELECT key FROM runs WHERE id = :run)
  AND seq >= coalesce((SELECT max(seq) FROM events
                       WHERE run = (SELECT key FROM runs WHERE id = :run) AND seq <= :after + 1), 1)
  AND seq + count > :after + 1
ORDER BY seq LIMIT :limit;

-- name: next_seq
-- index: sqlite_autoindex_events_1
SELECT seq + count FROM events WHERE run = ? ORDER BY seq DESC LIMIT 1;

-- name: put
-- index: sqlite_autoindex_runs_1
INSERT INTO inbox (run, kind, body) SELECT key, ?, ? FROM runs WHERE id = ?;

-- name: see
-- index: sqlite_autoindex_runs_1
INSERT OR IGNORE INTO seen (run, dedup) SELECT key, ? FROM runs WHERE id = ?;

-- name: pending
-- index: inbox, runs
SELECT i.number, r.id, i.kind, i.body FROM inbox i CROSS JOIN runs r ON r.key = i.run ORDER BY i.number;

-- name: pending_of
-- index: inbox, sqlite_autoindex_runs_1, inbox_run
SELECT i.number, r.id, i.kind, i.body
FROM json_each(?) w CROSS JOIN runs r ON r.id = w.value CROSS JOIN inbox i ON i.run = r.key
WHERE EXISTS (SELECT 1 FROM inbox WHERE number > 0);

-- name: ownership
-- index: sqlite_autoindex_runs_1
SELECT key, epoch, owner, created_at, tags FROM runs WHERE id = ?;

-- name: claim
-- index: runs
UPDATE runs SET owner = ?, epoch = ? WHERE key = ?;

-- name: release
-- index: sqlite_autoindex_runs_1
UPDATE runs SET owner = NULL WHERE id = ? AND owner = ?;

-- name: wake
-- index: sqlite_autoindex_runs_1
UPDATE runs SET wake_at = 1 WHERE id = ? AND wake_at > 1;

-- name: sleep
-- index: sqlite_autoindex_runs_1, inbox_run
UPDATE runs SET owner = NULL, status = CASE status WHEN 'running' THEN 'waiting' ELSE status END,
    wake_at = CASE WHEN EXISTS (SELECT 1 FROM inbox WHERE inbox.run = runs.key AND inbox.number > :seen)
              THEN 1 ELSE max(:until, 1) END
WHERE id = :run AND owner = :owner;

-- name: due
-- index: runs_asleep
SELECT id, workflow, version, status, target, created_at, updated_at, error, session, tags, wake_at FROM runs
WHERE wake_at > 0 AND wake_at <= :now ORDER BY wake_at LIMIT :limit OFFSET :skip;

-- name: next_wake
-- index: runs_asleep
SELECT wake_at FROM runs WHERE wake_at > 0 AND wake_at > :now ORDER BY wake_at LIMIT 1;

-- name: find_run
-- index: sqlite_autoindex_runs_1
SELECT id, workflow, version, status, target, created_at, updated_at, error, session, tags, wake_at FROM runs WHERE id = ?;

-- name: list
-- index: runs_created
SELECT id, workflow, version, status, target, created_at, updated_at, error, session, tags, wake_at FROM runs
WHERE (created_at, id) < (:before_at, :before_id) AND created_at > :after_at
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: list_by_status
-- index: runs_status
SELECT id, workflow, version, status, target, created_at, updated_at, error, session, tags, wake_at FROM runs
WHERE status = :status AND (created_at, id) < (:before_at, :before_id) AND created_at > :after_at
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: list_by_workflow
-- index: runs_workflow
SELECT id, workflow, version, status, target, created_at, updated_at, error, session, tags, wake_at FROM runs
WHERE workflow = :workflow AND (created_at, id) < (:before_at, :before_id) AND created_at > :after_at
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: list_by_workflow_status
-- index: runs_workflow_status
SELECT id, workflow, version, status, target, created_at, updated_at, error, session, tags, wake_at FROM runs
WHERE workflow = :workflow AND status = :status
  AND (created_at, id) < (:before_at, :before_id) AND created_at > :after_at
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: list_by_tag
-- index: tags, runs
SELECT r.id, r.workflow, r.version, r.status, r.target, r.created_at, r.updated_at, r.error, r.session, r.tags, r.wake_at
FROM tags t CROSS JOIN runs r ON r.key = t.run
WHERE t.tag = :tag AND (t.created_at, t.id) < (:before_at, :before_id) AND t.created_at > :after_at
  AND (:workflow = '' OR r.workflow = :workflow) AND (:status = '' OR r.status = :status)
ORDER BY t.created_at DESC, t.id DESC LIMIT :limit;

-- name: list_by_session
-- index: runs_session, tags
SELECT id, workflow, version, status, target, created_at, updated_at, error, session, tags, wake_at FROM runs
WHERE session = :session AND session <> '' AND (created_at, id) < (:before_at, :before_id) AND created_at > :after_at
  AND (:workflow = '' OR workflow = :workflow) AND (:status = '' OR status = :status)
  AND (:tag = '' OR EXISTS (SELECT 1 FROM tags t
                            WHERE t.tag = :tag AND t.created_at = runs.created_at AND t.id = runs.id))
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: create_session
-- index: none
INSERT OR IGNORE INTO sessions (id, owner, status, created_at, updated_at, limits) VALUES (?, ?, ?, ?, ?, ?);

-- name: find_session
-- index: sessions
SELECT id, owner, status, created_at, updated_at, limits, used FROM sessions WHERE id = ?;

-- name: list_sessions
-- index: sessions_created
SELECT id, owner, status, created_at, updated_at, limits, used FROM sessions
WHERE (created_at, id) < (:before_at, :before_id)
  AND (:owner = '' OR owner = :owner) AND (:status = '' OR status = :status)
ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: set_session
-- index: sessions
UPDATE sessions SET status = ?, updated_at = ?, limits = ? WHERE id = ? AND status = ?;

-- name: unfinished
-- index: runs_session
SELECT 1 FROM runs WHERE session = ? AND session <> '' AND status IN ('running', 'waiting', 'paused', 'cancelling') LIMIT 1;

-- name: ask_all
-- index: runs_session
INSERT INTO inbox (run, kind, body)
SELECT key, ?, ? FROM runs WHERE session = ? AND session <> '' AND status IN ('running', 'paused', 'waiting');

-- name: wake_all
-- index: runs_session
UPDATE runs SET wake_at = 1 WHERE session = ? AND session <> '' AND wake_at > 1;

-- name: session_values
-- index: session_values
SELECT name, value, version, updated_at FROM session_values WHERE session = ? ORDER BY name;

-- name: shelved
-- index: session_values
SELECT value, version, updated_at FROM session_values WHERE session = ? AND name = ?;

-- name: shelve
-- index: none
INSERT OR REPLACE INTO session_values (session, name, value, version, updated_at) VALUES (?, ?, ?, ?, ?);

-- name: unshelve
-- index: session_values
DELETE FROM session_values WHERE session = ? AND name = ?;

-- name: last_version
-- index: artifacts
SELECT version, digest FROM artifacts WHERE scope = ? AND name = ? ORDER BY version DESC LIMIT 1;

-- name: save_artifact
-- index: none
INSERT INTO artifacts (scope, name, version, run, path, media_type, digest, size, created_at, content)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: artifacts_of_scope
-- index: artifacts
SELECT scope, name, version, run, path, media_type, digest, size, created_at, content FROM artifacts
WHERE scope = :scope AND (:name = '' OR name = :name) ORDER BY name, version;

-- name: artifacts_of_run
-- index: artifacts_run
SELECT scope, name, version, run, path, media_type, digest, size, created_at, content FROM artifacts
WHERE run = :run AND (:name = '' OR name = :name) ORDER BY name, version;

-- name: result
-- index: sqlite_autoindex_results_1
SELECT value FROM results WHERE key = ? AND (expires_at = 0 OR expires_at > ?);

-- name: keep_result
-- index: none
INSERT OR REPLACE INTO results (key, step, value, expires_at) VALUES (?, ?, ?, ?);

-- name: forget_results
-- index: none
DELETE FROM results;

-- name: forget_step
-- index: results_step
DELETE FROM results WHERE step = ?;

-- name: forget_expired
-- index: results_expires
DELETE FROM results WHERE expires_at > 0 AND expires_at <= ?;

-- name: forget_expired_step
-- index: results_step
DELETE FROM results WHERE step = ? AND expires_at > 0 AND expires_at <= ?;

-- name: reservations
-- index: reservations
SELECT run, place, amounts FROM reservations WHERE session = ? ORDER BY run, place;

-- name: hold
-- index: none
INSERT OR REPLACE INTO reservations (session, run, place, amounts) VALUES (?, ?, ?, ?);

-- name: unreserve
-- index: reservations
DELETE FROM reservations WHERE session = ? AND run = ? AND place = ?;

-- name: session_used
-- index: sessions
SELECT used FROM sessions WHERE id = ?;

-- name: set_used
-- index: sessions
UPDATE sessions SET used = ? WHERE id = ?;

-- name: prunable
-- index: sqlite_autoindex_runs_1
SELECT key, created_at, tags, owner FROM runs
WHERE id = ? AND status IN ('completed', 'failed', 'cancelled', 'terminated', 'undone');

-- name: prune_events
-- index: sqlite_autoindex_events_1
DELETE FROM events WHERE run = ?;

-- name: prune_inbox
-- index: inbox_run
DELETE FROM inbox WHERE run = ?;

-- name: prune_seen
-- index: seen
DELETE FROM seen WHERE run = ?;

-- name: prune_artifacts
-- index: artifacts
DELETE FROM artifacts WHERE scope = ?;

-- name: prune_run
-- index: runs
DELETE FROM runs WHERE key = ?;

-- name: bury
-- index: none
INSERT INTO tombstones (id, workflow, version, status, created_at, updated_at, error, digest, pruned_at, by, reason)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: tombstones
-- index: tombstones
SELECT id, workflow, version, status, created_at, updated_at, error, digest, pruned_at, by, reason FROM tombstones
ORDER BY number DESC LIMIT ? OFFSET ?;

-- name: digests
-- index: blobs
SELECT digest, unused_since FROM blobs;

-- name: every_event
-- index: events
SELECT rowid, data FROM events WHERE rowid > ? ORDER BY rowid;

-- name: every_request
-- index: inbox
SELECT body FROM inbox;

-- name: every_artifact
-- index: artifacts
SELECT content FROM artifacts;

-- name: every_session_value
-- index: session_values
SELECT value FROM session_values;

-- name: mark_blob
-- index: sqlite_autoindex_blobs_1
UPDATE blobs SET unused_since = ? WHERE digest = ? AND unused_since = 0;

-- name: unmark_blob
-- index: sqlite_autoindex_blobs_1
UPDATE blobs SET unused_since = 0 WHERE digest = ?;

-- name: drop_blob
-- index: sqlite_autoindex_blobs_1
DELETE FROM blobs WHERE digest = ? AND unused_since <= ?;

-- name: send_out
-- index: none
INSERT INTO outbox (run, path, kind, target, id, body, at) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: outgoing
-- index: outbox_due, outbox_run
SELECT run, path, kind, target, id, body, at, number, tries, due_at, error FROM outbox AS o
WHERE due_at <= :now AND NOT EXISTS (
    SELECT 1 FROM outbox AS e WHERE e.run = o.run AND e.number < o.number AND e.due_at < 9223372036854775807
    AND (e.kind = 'webhook') = (o.kind = 'webhook') AND (o.kind <> 'webhook' OR e.target = o.target)
)
ORDER BY due_at LIMIT :limit OFFSET :skip;

-- name: next_outgoing
-- index: outbox_due, outbox_run
SELECT due_at FROM outbox AS o
WHERE due_at > ? AND due_at < 9223372036854775807 AND NOT EXISTS (
    SELECT 1 FROM outbox AS e WHERE e.run = o.run AND e.number < o.number AND e.due_at < 9223372036854775807
    AND (e.kind = 'webhook') = (o.kind = 'webhook') AND (o.kind <> 'webhook' OR e.target = o.target)
)
ORDER BY due_at LIMIT 1;

-- name: outgoing_of
-- index: outbox_run
SELECT run, path, kind, target, id, body, at, number, tries, due_at, error FROM outbox WHERE run = ? ORDER BY number;

-- name: undelivered
-- index: outbox
SELECT run, path, kind, target, id, body, at, number, tries, due_at, error FROM outbox
WHERE number > ? ORDER BY number LIMIT ?;

-- name: given_up
-- index: outbox_due
SELECT run, path, kind, target, id, body, at, number, tries, due_at, error FROM outbox
WHERE due_at = 9223372036854775807 AND number > ? ORDER BY number LIMIT ?;

-- name: delivered
-- index: outbox
DELETE FROM outbox WHERE number = ?;

-- name: postpone
-- index: outbox
UPDATE outbox SET tries = ?, due_at = ?, error = ? WHERE number = ? AND due_at = ?;

-- name: prune_outbox
-- index: outbox_run
DELETE FROM outbox WHERE run = ? AND +due_at = 9223372036854775807;
