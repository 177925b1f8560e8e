-- The statements of `SqlStore` in SQLite 3.38+. What each is sent and gives back is that of its namesake in mysql.sql.
--
-- utc_now() is the store's time, the same all through a statement; utc_in(m) is m microseconds from it;
-- utc_text(m) and utc_micros(t) turn whole microseconds into the form that the tables hold, and back; from_base64(t)
-- gives bytes. Lists come as JSON arrays of arrays, and are taken apart once (MATERIALIZED).
--
-- Statements run one after the other, each with the write lock: what a WHERE has seen is still so when the row is
-- written. The guards are the same as in MySQL all the same, because the time between two statements is not.

-- name: schema_present
-- Whether `init` was here.
SELECT 1 AS present FROM sqlite_master WHERE type = 'table' AND name = 'schema_info'

-- name: installation
-- The id that `init` made.
SELECT installation FROM schema_info

-- name: schema_info
-- What this store is.
SELECT version, min_worker, coordinator FROM schema_info

-- name: switch_coordinator
-- Only while no node is there. Who else may be starting now looks again after it has joined.
UPDATE schema_info SET coordinator = :wanted
WHERE coordinator = :found AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.state IN ('live', 'cordoned', 'draining'))

-- name: restore_coordinator
-- A node was there all the same: it goes on under the coordinator that it was started with.
UPDATE schema_info SET coordinator = :found WHERE coordinator = :wanted

-- name: default_timezone
-- Of schedules that name none.
SELECT trim(dflt_value, '''') AS timezone FROM pragma_table_info('schedules') WHERE name = 'timezone'

-- name: file_settings
-- How the file is kept, and by which SQLite.
SELECT sqlite_version() AS version, (SELECT journal_mode FROM pragma_journal_mode) AS journal_mode,
       (SELECT synchronous FROM pragma_synchronous) AS synchronous

-- name: look_at_schedules
-- Every row's version, and the time of the look; one row without a schedule when there is none.
SELECT utc_now() AS now, (SELECT digest FROM schedule_digest) AS digest, s.id AS schedule_id, s.version, s.updated_at
FROM (SELECT 1) LEFT JOIN schedules s ON TRUE ORDER BY s.id

-- name: schedule_rows
-- Whole rows, of those that are still there.
SELECT s.id, s.name, s.description, s.owner, s.cron, s.command, s.kind, s.args, s.timezone, s.enabled, s.starts_at,
       s.ends_at, s.calendar, s.dst, s.jitter_s, s.queue, s.priority, s.route, s.shards, s.shard_args, s.overlap, s.lane,
       s.misfire, s.misfire_grace_s, s.timeout_s, s.retries, s.retry_delay_s, s.retry_backoff, s.on_node_loss, s."after",
       s.after_rule, s.run_as, s.alert, s.version, s.updated_at
FROM json_each(:rows) j CROSS JOIN schedules s ON s.id = j.value

-- name: see_versions
-- Record what is the row as it stands, and is not the newest recorded version; `chain` lets one node be the first.
-- A last_read ahead of the clock (a watermark out of a restored copy) postpones nothing.
WITH sent AS MATERIALIZED (
    SELECT value ->> 0 AS schedule_id, value ->> 1 AS version, utc_text(value ->> 2) AS updated_at,
           value ->> 3 AS definition, value ->> 4 AS problem, utc_text(value ->> 5) AS last_read, value ->> 6 AS diff
    FROM json_each(:rows))
INSERT INTO schedule_history (schedule_id, former_id, version, updated_at, valid_from, enabled, ends_at, definition,
                              diff, problem, good_id, seen_at)
SELECT s.id, coalesce(h.id, 0), s.version, s.updated_at,
       max(min(s.updated_at, utc_now()), min(j.last_read, utc_now()), coalesce(h.valid_from, '')), s.enabled, s.ends_at, j.definition,
       j.diff, j.problem,
       CASE WHEN j.problem IS NOT NULL THEN coalesce(
           (SELECT max(g.id) FROM schedule_history g WHERE g.schedule_id = s.id AND g.problem IS NULL AND g.deleted = 0),
           0) END, utc_now()
FROM sent j
CROSS JOIN schedules s ON s.id = j.schedule_id AND s.version = j.version AND s.updated_at = j.updated_at
LEFT JOIN schedule_history h ON h.id = (SELECT max(n.id) FROM schedule_history n WHERE n.schedule_id = s.id)
WHERE h.id IS NULL OR h.deleted = 1 OR h.version <> s.version OR h.updated_at <> s.updated_at

-- name: see_deleted
-- A deletion is a version too: nothing is due from it on.
INSERT INTO schedule_history (schedule_id, former_id, version, updated_at, valid_from, enabled, deleted, definition,
                              good_id, seen_at)
SELECT h.schedule_id, h.id, h.version, h.updated_at, max(utc_now(), min(utc_text(:last_read), utc_now()), h.valid_from), 0, 1,
       h.definition, 0, utc_now()
FROM json_each(:rows) j
CROSS JOIN schedule_history h ON h.id = (SELECT max(n.id) FROM schedule_history n WHERE n.schedule_id = j.value)
WHERE h.deleted = 0 AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.id = j.value)

-- name: vanished
-- Schedules with a recorded version, not deleted, and no row any more.
SELECT h.schedule_id FROM schedule_history h
WHERE h.deleted = 0 AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.id = h.schedule_id)
  AND NOT EXISTS (SELECT 1 FROM schedule_history n WHERE n.schedule_id = h.schedule_id AND n.former_id = h.id)

-- name: clear_problems
-- Take back what is said of schedules whose newest recorded version is usable, or gone. What is said of that very
-- version is that it cannot follow: the auditor's to take back.
DELETE FROM schedule_problems WHERE schedule_id IN (
    SELECT h.schedule_id FROM json_each(:rows) j
    CROSS JOIN schedule_history h ON h.id = (SELECT max(n.id) FROM schedule_history n WHERE n.schedule_id = j.value)
    WHERE (h.problem IS NULL AND h.id <> schedule_problems.version) OR h.deleted = 1)

-- name: put_problems
-- Say of the others why they cannot be used, and what runs meanwhile.
INSERT INTO schedule_problems (schedule_id, version, problem, good_id, noticed_at)
SELECT h.schedule_id, h.id, h.problem, coalesce(h.good_id, 0), h.seen_at
FROM json_each(:rows) j
CROSS JOIN schedule_history h ON h.id = (SELECT max(n.id) FROM schedule_history n WHERE n.schedule_id = j.value)
WHERE h.problem IS NOT NULL AND h.deleted = 0
ON CONFLICT (schedule_id) DO UPDATE
SET version = excluded.version, problem = excluded.problem, good_id = excluded.good_id, noticed_at = excluded.noticed_at

-- name: calendar_days
-- The days of some calendars.
SELECT c.name, c.day AS calendar_day, c.effect
FROM json_each(:rows) j CROSS JOIN calendars c ON c.name = j.value ORDER BY c.name, c.day

-- name: touch
-- Rows that are as they were read become new versions: their calendar says something else.
UPDATE schedules SET updated_at = utc_now()
WHERE (id, version, updated_at) IN (SELECT value ->> 0, value ->> 1, utc_text(value ->> 2) FROM json_each(:rows))

-- name: versions
-- The newest recorded version of each, with the definition that runs.
SELECT h.id, h.schedule_id, h.version, h.updated_at, h.valid_from, h.enabled, h.deleted, h.ends_at, h.problem, h.good_id,
       g.definition
FROM json_each(:rows) j
CROSS JOIN schedule_history h ON h.id = (SELECT max(n.id) FROM schedule_history n WHERE n.schedule_id = j.value)
LEFT JOIN schedule_history g ON g.id = coalesce(h.good_id, h.id)
ORDER BY h.schedule_id

-- name: history
-- Every version valid from an instant on, and of each such schedule the one that was in force at it.
WITH newer AS MATERIALIZED (SELECT id, schedule_id FROM schedule_history WHERE valid_from >= utc_text(:after)),
wanted AS (
    SELECT id FROM newer
    UNION
    SELECT (SELECT o.id FROM schedule_history o WHERE o.schedule_id = n.schedule_id AND o.valid_from < utc_text(:after)
            ORDER BY o.valid_from DESC, o.id DESC LIMIT 1)
    FROM (SELECT DISTINCT schedule_id FROM newer) n)
SELECT h.id, h.schedule_id, h.version, h.updated_at, h.valid_from, h.enabled, h.deleted, h.ends_at, h.problem, h.good_id,
       g.definition
FROM wanted w
CROSS JOIN schedule_history h ON h.id = w.id
LEFT JOIN schedule_history g ON g.id = coalesce(h.good_id, h.id)
ORDER BY h.schedule_id, h.valid_from, h.id

-- name: history_of
-- The same for named schedules, and the one in force even where none is newer.
WITH wanted AS (
    SELECT h.id FROM json_each(:rows) j
    CROSS JOIN schedule_history h ON h.schedule_id = j.value AND h.valid_from >= utc_text(:after)
    UNION
    SELECT (SELECT o.id FROM schedule_history o WHERE o.schedule_id = j.value AND o.valid_from < utc_text(:after)
            ORDER BY o.valid_from DESC, o.id DESC LIMIT 1)
    FROM json_each(:rows) j)
SELECT h.id, h.schedule_id, h.version, h.updated_at, h.valid_from, h.enabled, h.deleted, h.ends_at, h.problem, h.good_id,
       g.definition
FROM wanted w
CROSS JOIN schedule_history h ON h.id = w.id
LEFT JOIN schedule_history g ON g.id = coalesce(h.good_id, h.id)
ORDER BY h.schedule_id, h.valid_from, h.id

-- name: definitions
-- The definitions that versions hold themselves. rows: ids of schedule_history.
SELECT h.id, h.definition FROM json_each(:rows) j CROSS JOIN schedule_history h ON h.id = j.value

-- name: definition
-- What a run of that version runs.
SELECT definition FROM schedule_history WHERE id = :version

-- name: poll
-- A node's one look a second: the same of it all in each row, and a row for each present node.
SELECT t.now, t.digest, t.running, t.kills, t.ready, t.orphans, t.sweep, t.follow, t.holder, t.term, t.expired, t.watermark,
       n.id, n.name, n.state, n.beat_seq, n.beat_at, n.beat_s, n.slots, n.queues, n.roles, n.czxid,
       n.beat_at < utc_in(-n.lease_us) AS stale,
       (SELECT json_group_array(z.name) FROM queues z WHERE z.paused = 1) AS paused,
       (SELECT i.coordinator FROM schema_info i) AS coordinator
FROM (
SELECT utc_now() AS now, (SELECT digest FROM schedule_digest) AS digest,
       (SELECT count(*) FROM runs r WHERE r.node_id = :node_id AND r.status = 'running') AS running,
       EXISTS (SELECT 1 FROM runs r WHERE r.node_id = :node_id AND r.status = 'running' AND r.kill_requested <> 0) AS kills,
       EXISTS (SELECT 1 FROM json_each(:queues) w CROSS JOIN runs q INDEXED BY pull ON q.queue = w.value AND q.status = 'queued'
               CROSS JOIN schedules s ON s.id = q.schedule_id
               WHERE q.ready_at <= utc_now() AND q.version IS NOT NULL AND q.kill_requested = 0
                 AND (q.expires_at IS NULL OR q.expires_at > utc_now() OR q.attempt > 0)
                 AND (q.pinned_node_id IS NULL OR q.pinned_node_id = :node_id
                      OR (s.route <> 'all' AND (q.attempt > 0 OR q.ready_at <= utc_in(-:pinned_away))))
                 AND (s.route NOT LIKE 'node:%' OR s.route = 'node:' || (SELECT me.name FROM nodes me WHERE me.id = :node_id))
                 AND (q.serial IS NULL OR q.serial_held = q.serial
                      OR (NOT EXISTS (SELECT 1 FROM runs b WHERE b.serial_held = q.serial)
                          AND NOT EXISTS (SELECT 1 FROM runs e WHERE e.serial = q.serial AND e.fire_at < q.fire_at)))
                 AND (q.lane IS NULL
                      OR (SELECT count(*) FROM runs h WHERE h.lane_slot >= q.lane || ':' AND h.lane_slot < q.lane || ';')
                         < coalesce((SELECT l.size FROM lanes l WHERE l.name = q.lane), 1))
                 AND (q.attempt > 0 OR q.origin = 'manual' OR s.enabled = 1)
                 AND NOT (q.reason_code IS 'start_failed' AND q.node_id IS :node_id AND q.ready_at > utc_in(-:start_failed_away))
                 AND NOT EXISTS (SELECT 1 FROM queues p WHERE p.name = q.queue AND p.paused = 1)) AS ready,
       EXISTS (SELECT 1 FROM runs r CROSS JOIN nodes n ON n.id = r.node_id AND n.state IN ('purged', 'left')
               WHERE r.status = 'running') AS orphans,
       EXISTS (SELECT 1 FROM runs q WHERE q.status = 'queued' AND q.version IS NULL AND q.ready_at <= utc_now())
       OR EXISTS (SELECT 1 FROM runs q WHERE q.status = 'queued' AND q.kill_requested <> 0)
       OR EXISTS (SELECT 1 FROM runs q WHERE q.status = 'queued' AND q.attempt = 0 AND q.expires_at < utc_now())
       OR EXISTS (SELECT 1 FROM runs q WHERE q.status = 'queued'
                  AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.id = q.schedule_id))
       OR EXISTS (SELECT 1 FROM runs q CROSS JOIN schedules s ON s.id = q.schedule_id AND s.route = 'all'
                  WHERE q.status = 'queued' AND q.version IS NOT NULL AND q.pinned_node_id IS NOT NULL
                    AND NOT EXISTS (SELECT 1 FROM nodes g WHERE g.id = q.pinned_node_id AND g.live_name IS NOT NULL)) AS sweep,
       EXISTS (SELECT 1 FROM runs r WHERE r.follow = 1) AS follow,
       a.holder, a.term, a.expires_at IS NULL OR a.expires_at < utc_now() AS expired, a.watermark
FROM (SELECT 1) LEFT JOIN roles a ON a.name = 'auditor'
) t LEFT JOIN nodes n ON n.live_name IS NOT NULL

-- name: mine
-- What the store says this node runs.
SELECT fire_at, schedule_id, shard, attempt, claimed_at, started_at, version, args, failures, take_overs, reason_code,
       kill_requested, shards, claimed_at < utc_in(-:settle) AS settled
FROM runs WHERE node_id = :node_id AND status = 'running'

-- name: claim
-- One instant's rows that may exist as open runs; at most one row per serial is sent.
WITH sent AS MATERIALIZED (
    SELECT value ->> 0 AS schedule_id, value ->> 1 AS shard, value ->> 2 AS version, value ->> 3 AS due,
           value ->> 4 AS run, value ->> 5 AS queue, value ->> 6 AS priority, value ->> 7 AS delay, value ->> 8 AS grace,
           value ->> 9 AS serial, value ->> 11 AS lane, value ->> 12 AS shards, value ->> 13 AS pinned_node_id
    FROM json_each(:rows))
INSERT INTO runs (fire_at, schedule_id, shard, status, queue, priority, ready_at, expires_at, node_id, attempt, origin,
                  version, claimed_at, serial, serial_held, lane, shards, pinned_node_id)
SELECT utc_text(:fire_at), j.schedule_id, j.shard, iif(j.run = 1, 'running', 'queued'), j.queue, j.priority,
       utc_text(:fire_at + j.delay), utc_text(:fire_at + j.delay + j.grace), iif(j.run = 1, n.id, NULL), j.run, 'trigger',
       coalesce(h.good_id, h.id), iif(j.run = 1, utc_now(), NULL), j.serial, j.serial, j.lane, j.shards, j.pinned_node_id
FROM nodes n
CROSS JOIN sent j
CROSS JOIN schedule_history h ON h.id = j.version AND h.schedule_id = j.schedule_id AND coalesce(h.good_id, 1) <> 0
CROSS JOIN schedules s ON s.id = j.schedule_id AND s.enabled = 1 AND s.version = h.version AND s.updated_at = h.updated_at
CROSS JOIN schedule_history d ON d.id = j.due AND d.schedule_id = j.schedule_id AND d.enabled = 1
    AND d.valid_from < utc_text(:fire_at)
WHERE n.id = :node_id AND n.state = 'live' AND n.beat_at >= utc_in(-n.lease_us)
  AND utc_text(:fire_at) <= utc_now() AND utc_text(:fire_at) > utc_in(-:reach)
  AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.fire_at = utc_text(:fire_at) AND r.schedule_id = j.schedule_id
                  AND r.shard = j.shard)
  AND NOT EXISTS (SELECT 1 FROM runs b WHERE b.serial = j.serial)

-- name: fence
-- The fence of a claim that inserted all its rows.
SELECT claimed_at FROM runs WHERE fire_at = utc_text(:fire_at) AND schedule_id = :schedule_id AND shard = :shard

-- name: claim_rest
-- What `claim` has left out: `why` says of the skipped what is in their way; `taken` rows that are not skipped wait.
WITH sent AS MATERIALIZED (
    SELECT value ->> 0 AS schedule_id, value ->> 1 AS shard, value ->> 2 AS version, value ->> 3 AS due,
           value ->> 4 AS run, value ->> 5 AS queue, value ->> 6 AS priority, value ->> 7 AS delay, value ->> 8 AS grace,
           value ->> 9 AS serial, value ->> 10 AS overlap, value ->> 11 AS lane, value ->> 12 AS shards, value ->> 13 AS pinned_node_id
    FROM json_each(:rows)),
judged AS MATERIALIZED (
    SELECT j.*, EXISTS (SELECT 1 FROM runs o WHERE o.serial = j.serial) AS taken,
           CASE j.overlap
               WHEN 'skip' THEN (SELECT 'the run of ' || replace(replace(b.fire_at, ' ', 'T') || 'Z', '.000000Z', 'Z') || ' is still ' || b.status
                                 FROM runs b WHERE b.serial = j.serial ORDER BY b.serial_held IS NOT b.serial, b.fire_at LIMIT 1)
               WHEN 'wait' THEN (SELECT 'the run of ' || replace(replace(b.fire_at, ' ', 'T') || 'Z', '.000000Z', 'Z') || ' waits already'
                                 FROM runs b WHERE b.serial = j.serial AND b.serial_held IS NOT b.serial ORDER BY b.fire_at LIMIT 1)
               WHEN 'replace' THEN (SELECT 'the run of ' || replace(replace(b.fire_at, ' ', 'T') || 'Z', '.000000Z', 'Z') || ' is newer'
                                    FROM runs b WHERE b.serial = j.serial AND b.fire_at > utc_text(:fire_at) ORDER BY b.fire_at LIMIT 1) END AS why
    FROM sent j),
born AS MATERIALIZED (SELECT j.*, j.run = 1 AND NOT j.taken AS runs FROM judged j)
INSERT INTO runs (fire_at, schedule_id, shard, status, reason_code, reason, queue, priority, ready_at, expires_at, node_id,
                  attempt, origin, version, claimed_at, finished_at, serial, serial_held, lane, shards, pinned_node_id,
                  follow)
SELECT utc_text(:fire_at), j.schedule_id, j.shard,
       CASE WHEN j.why IS NOT NULL THEN 'skipped' WHEN j.runs THEN 'running' ELSE 'queued' END,
       iif(j.why IS NULL, NULL, 'overlap'), j.why, j.queue, j.priority, utc_text(:fire_at + j.delay),
       iif(j.why IS NULL, utc_text(:fire_at + j.delay + j.grace), NULL), iif(j.runs, n.id, NULL), j.runs, 'trigger',
       coalesce(h.good_id, h.id), iif(j.runs, utc_now(), NULL), iif(j.why IS NULL, NULL, utc_now()),
       iif(j.why IS NULL, j.serial, NULL),
       CASE WHEN NOT j.taken THEN j.serial WHEN j.why IS NULL AND j.overlap = 'wait' THEN j.serial || '+' END,
       j.lane, j.shards, j.pinned_node_id, iif(j.why IS NOT NULL, iif(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = j.schedule_id), 1, NULL), NULL)
FROM nodes n
CROSS JOIN born j
CROSS JOIN schedule_history h ON h.id = j.version AND h.schedule_id = j.schedule_id AND coalesce(h.good_id, 1) <> 0
CROSS JOIN schedules s ON s.id = j.schedule_id AND s.enabled = 1 AND s.version = h.version AND s.updated_at = h.updated_at
CROSS JOIN schedule_history d ON d.id = j.due AND d.schedule_id = j.schedule_id AND d.enabled = 1
    AND d.valid_from < utc_text(:fire_at)
WHERE n.id = :node_id AND n.state = 'live' AND n.beat_at >= utc_in(-n.lease_us)
  AND utc_text(:fire_at) <= utc_now() AND utc_text(:fire_at) > utc_in(-:reach)
  AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.fire_at = utc_text(:fire_at) AND r.schedule_id = j.schedule_id
                  AND r.shard = j.shard)
  AND (j.shards = 1 OR NOT EXISTS (SELECT 1 FROM runs z WHERE z.fire_at = utc_text(:fire_at)
                                   AND z.schedule_id = j.schedule_id AND z.shard = 0))

-- name: replace_older
-- What is open and older than the rows just opened shall end.
WITH older AS MATERIALIZED (
    SELECT x.fire_at, x.schedule_id, x.shard, max(r.fire_at) AS newer
    FROM json_each(:rows) j
    CROSS JOIN runs r ON r.fire_at = utc_text(j.value ->> 0) AND r.schedule_id = j.value ->> 1 AND r.shard = j.value ->> 2
        AND r.status = 'queued' AND r.attempt = 0
    CROSS JOIN runs x ON x.serial = r.serial AND x.fire_at < r.fire_at
    WHERE x.kill_requested = 0
    GROUP BY x.fire_at, x.schedule_id, x.shard)
UPDATE runs AS r SET kill_requested = 2, requested_by = 'the run of ' || replace(replace(o.newer, ' ', 'T') || 'Z', '.000000Z', 'Z')
FROM older o WHERE r.fire_at = o.fire_at AND r.schedule_id = o.schedule_id AND r.shard = o.shard

-- name: claim_answer
-- What became of each row that was sent.
WITH sent AS MATERIALIZED (
    SELECT value ->> 0 AS schedule_id, value ->> 1 AS shard, value ->> 2 AS version, value ->> 12 AS shards
    FROM json_each(:rows))
SELECT j.schedule_id, j.shard,
       CASE WHEN r.status = 'running' AND r.node_id = :node_id THEN 'mine'
            WHEN r.schedule_id IS NOT NULL OR (j.shards > 1 AND z.schedule_id IS NOT NULL) THEN 'other'
            WHEN utc_text(:fire_at) > utc_now() THEN 'early'
            WHEN utc_text(:fire_at) <= utc_in(-:reach) THEN 'late'
            WHEN s.id IS NULL THEN 'deleted'
            WHEN s.enabled = 0 THEN 'paused'
            WHEN h.id IS NULL OR s.version <> h.version OR s.updated_at <> h.updated_at THEN 'stale'
            WHEN n.id IS NULL THEN 'node'
            ELSE 'again' END AS answer,
       iif(r.status = 'running' AND r.node_id = :node_id, r.attempt, 0) AS attempt,
       iif(r.status = 'running' AND r.node_id = :node_id, r.claimed_at, NULL) AS claimed_at,
       iif(r.status = 'running' AND r.node_id = :node_id, r.version, 0) AS version,
       :fire_at - utc_micros(utc_now()) AS wait
FROM sent j
LEFT JOIN runs r ON r.fire_at = utc_text(:fire_at) AND r.schedule_id = j.schedule_id AND r.shard = j.shard
LEFT JOIN runs z ON z.fire_at = utc_text(:fire_at) AND z.schedule_id = j.schedule_id AND z.shard = 0
LEFT JOIN schedules s ON s.id = j.schedule_id
LEFT JOIN schedule_history h ON h.id = j.version AND h.schedule_id = j.schedule_id AND coalesce(h.good_id, 1) <> 0
LEFT JOIN nodes n ON n.id = :node_id AND n.state = 'live' AND n.beat_at >= utc_in(-n.lease_us)

-- name: pull_look
-- Candidates of one queue, best first. Of several runs that wait for one serial only the oldest may go. late: of a catch-up.
SELECT q.fire_at, q.schedule_id, q.shard, q.attempt, q.priority, q.lane,
       q.origin = 'audit' AND utc_micros(q.ready_at) >= utc_micros(q.fire_at) + :reach AS late
FROM runs q INDEXED BY pull CROSS JOIN schedules s ON s.id = q.schedule_id
WHERE q.status = 'queued' AND q.queue = :queue AND q.ready_at <= utc_now() AND q.version IS NOT NULL AND q.kill_requested = 0
  AND (q.expires_at IS NULL OR q.expires_at > utc_now() OR q.attempt > 0)
  AND (q.pinned_node_id IS NULL OR q.pinned_node_id = :node_id
       OR (s.route <> 'all' AND (q.attempt > 0 OR q.ready_at <= utc_in(-:pinned_away))))
  AND (s.route NOT LIKE 'node:%' OR s.route = 'node:' || (SELECT me.name FROM nodes me WHERE me.id = :node_id))
  AND (q.serial IS NULL OR q.serial_held = q.serial
       OR (NOT EXISTS (SELECT 1 FROM runs b WHERE b.serial_held = q.serial)
           AND NOT EXISTS (SELECT 1 FROM runs e WHERE e.serial = q.serial AND e.fire_at < q.fire_at)))
  AND (q.lane IS NULL
       OR (SELECT count(*) FROM runs h WHERE h.lane_slot >= q.lane || ':' AND h.lane_slot < q.lane || ';')
          < coalesce((SELECT l.size FROM lanes l WHERE l.name = q.lane), 1))
  AND (q.attempt > 0 OR q.origin = 'manual' OR s.enabled = 1)
  AND NOT (q.reason_code IS 'start_failed' AND q.node_id IS :node_id AND q.ready_at > utc_in(-:start_failed_away))
  AND NOT EXISTS (SELECT 1 FROM queues p WHERE p.name = q.queue AND p.paused = 1)
  AND (:late = 1 OR q.origin <> 'audit' OR utc_micros(q.ready_at) < utc_micros(q.fire_at) + :reach)
ORDER BY q.pull_order, q.ready_at, q.fire_at, q.schedule_id, q.shard LIMIT :limit

-- name: lane_room
-- The size of lanes, and which of their slots are held; NULL: none is.
SELECT j.value AS name, coalesce(l.size, 1) AS size, h.lane_slot
FROM json_each(:rows) j LEFT JOIN lanes l ON l.name = j.value
LEFT JOIN runs h ON h.lane_slot >= j.value || ':' AND h.lane_slot < j.value || ';'

-- name: pull
-- Take the first of them that nobody else has taken.
WITH taken AS MATERIALIZED (
    SELECT q.fire_at, q.schedule_id, q.shard, j.value ->> 4 AS lane_slot
    FROM json_each(:rows) j
    CROSS JOIN runs q ON q.fire_at = utc_text(j.value ->> 0) AND q.schedule_id = j.value ->> 1 AND q.shard = j.value ->> 2
    WHERE q.status = 'queued' AND q.attempt = j.value ->> 3 AND q.kill_requested = 0
      AND (q.lane IS NULL OR j.value ->> 4 IS NOT NULL)
    ORDER BY j.key LIMIT :limit)
UPDATE runs AS r
SET status = 'running', node_id = :node_id, attempt = r.attempt + 1, serial_held = r.serial, lane_slot = t.lane_slot,
    started_at = NULL, claimed_at = max(utc_now(), coalesce(utc_text(utc_micros(r.claimed_at) + 1), ''))
FROM taken t
WHERE r.fire_at = t.fire_at AND r.schedule_id = t.schedule_id AND r.shard = t.shard
  AND EXISTS (SELECT 1 FROM nodes n WHERE n.id = :node_id AND n.state = 'live' AND n.beat_at >= utc_in(-n.lease_us))

-- name: start
-- Written before the process begins.
WITH sent AS MATERIALIZED (
    SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard, value ->> 3 AS attempt
    FROM json_each(:rows))
UPDATE runs AS r SET started_at = coalesce(r.started_at, utc_now()) FROM sent j
WHERE r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard
  AND r.status = 'running' AND r.node_id = :node_id AND r.attempt = j.attempt

-- name: finish_outputs
-- Before `finish`, while the rows are still running here: what they printed. REPLACE: a run put back by
-- hand counts its attempts anew, and one key that is there already may not stop the others for ever.
WITH sent AS MATERIALIZED (
    SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard, value ->> 3 AS attempt,
           value ->> 4 AS succeeded, value ->> 5 AS output, value ->> 6 AS output_bytes
    FROM json_each(:rows))
REPLACE INTO outputs (fire_at, schedule_id, shard, attempt, succeeded, output, output_bytes)
SELECT r.fire_at, r.schedule_id, r.shard, r.attempt, j.succeeded, from_base64(j.output), j.output_bytes
FROM sent j
CROSS JOIN runs r ON r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard
WHERE r.status = 'running' AND r.node_id = :node_id AND r.attempt = j.attempt

-- name: finish_attempts
-- Before `finish`, while the rows are still running here: attempts that are not the last. REPLACE: as in finish_outputs.
WITH sent AS MATERIALIZED (
    SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard, value ->> 3 AS attempt,
           value ->> 4 AS status, value ->> 9 AS exit_code, value ->> 10 AS reason_code, value ->> 11 AS reason,
           utc_text(value ->> 13) AS started_at
    FROM json_each(:rows) WHERE value ->> 5 = 1)
REPLACE INTO attempts (fire_at, schedule_id, shard, attempt, node_id, outcome, exit_code, reason_code, reason, claimed_at,
                       started_at, ended_at)
SELECT r.fire_at, r.schedule_id, r.shard, r.attempt, r.node_id, j.status, j.exit_code, j.reason_code, j.reason,
       r.claimed_at, coalesce(r.started_at, j.started_at), utc_now()
FROM sent j
CROSS JOIN runs r ON r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard
WHERE r.status = 'running' AND r.node_id = :node_id AND r.attempt = j.attempt AND r.kill_requested = 0

-- name: finish
-- Ends, where node and attempt still match. A kill forbids going back to the queue; success wins over it.
WITH sent AS MATERIALIZED (
    SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard, value ->> 3 AS attempt,
           value ->> 4 AS status, value ->> 5 AS again, value ->> 6 AS delay, value ->> 7 AS failed, value ->> 8 AS lost,
           value ->> 9 AS exit_code, value ->> 10 AS reason_code, value ->> 11 AS reason, value ->> 12 AS result,
           utc_text(value ->> 13) AS started_at
    FROM json_each(:rows)),
ended AS MATERIALIZED (
    SELECT j.*, j.again = 1 AND r.kill_requested = 0 AS back, r.kill_requested <> 0 AND j.status <> 'succeeded' AS killed
    FROM sent j
    CROSS JOIN runs r ON r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard
    WHERE r.status = 'running' AND r.node_id = :node_id AND r.attempt = j.attempt)
UPDATE runs AS r
SET status = CASE WHEN e.back THEN 'queued' WHEN e.killed THEN 'killed' ELSE e.status END,
    ready_at = iif(e.back, utc_in(e.delay), r.ready_at),
    finished_at = iif(e.back, NULL, utc_now()),
    started_at = coalesce(r.started_at, e.started_at),
    failures = r.failures + e.failed,
    take_overs = iif(e.lost, r.take_overs + 1, 0),
    exit_code = e.exit_code,
    reason_code = CASE WHEN NOT e.killed THEN e.reason_code WHEN r.kill_requested = 2 THEN 'replaced' ELSE 'kill_requested' END,
    reason = iif(e.killed AND r.kill_requested = 2, 'replaced by ' || r.requested_by, e.reason),
    result = iif(json_valid(e.result), e.result, NULL),
    lane_slot = NULL,
    serial = iif(e.back, r.serial, NULL),
    serial_held = iif(e.back, r.serial_held, NULL),
    follow = iif(e.back, NULL, iif(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = r.schedule_id), 1, NULL))
FROM ended e
WHERE r.fire_at = e.fire_at AND r.schedule_id = e.schedule_id AND r.shard = e.shard

-- name: finish_answer
-- Recorded or superseded: the row still names who ended it, or `attempts` does. What a take-back wrote says node_lost.
WITH sent AS MATERIALIZED (
    SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard, value ->> 3 AS attempt
    FROM json_each(:rows))
SELECT r.fire_at, r.schedule_id, r.shard, j.attempt,
       (r.node_id = :node_id AND r.attempt = j.attempt AND r.status NOT IN ('queued', 'running')
        AND r.reason_code IS NOT 'node_lost')
       OR EXISTS (SELECT 1 FROM attempts t WHERE t.fire_at = r.fire_at AND t.schedule_id = r.schedule_id
                  AND t.shard = r.shard AND t.attempt = j.attempt AND t.node_id = :node_id AND t.outcome <> 'superseded'
                  AND t.reason_code IS NOT 'node_lost') AS recorded
FROM sent j
CROSS JOIN runs r ON r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard

-- name: note_superseded
-- An outcome that came after a take-over, over the take-back's own note of the attempt.
WITH sent AS MATERIALIZED (
    SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard, value ->> 3 AS attempt,
           value ->> 4 AS status, value ->> 9 AS exit_code, value ->> 10 AS reason_code, value ->> 11 AS reason,
           utc_text(value ->> 13) AS started_at
    FROM json_each(:rows))
INSERT INTO attempts (fire_at, schedule_id, shard, attempt, node_id, outcome, exit_code, reason_code, reason, started_at,
                      ended_at)
SELECT r.fire_at, r.schedule_id, r.shard, j.attempt, :node_id, 'superseded', j.exit_code, j.reason_code,
       j.status || coalesce(': ' || j.reason, ''), j.started_at, utc_now()
FROM sent j
CROSS JOIN runs r ON r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard
WHERE r.attempt >= j.attempt
ON CONFLICT DO UPDATE
SET outcome = excluded.outcome, exit_code = excluded.exit_code, reason_code = excluded.reason_code, reason = excluded.reason
WHERE node_id = excluded.node_id

-- name: settle
-- Queued runs, never started, that end without running.
WITH sent AS MATERIALIZED (
    SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard, value ->> 3 AS status,
           value ->> 4 AS reason_code, value ->> 5 AS reason
    FROM json_each(:rows))
UPDATE runs AS r
SET status = j.status, reason_code = j.reason_code, reason = j.reason, finished_at = utc_now(), serial = NULL,
    serial_held = NULL, follow = iif(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = r.schedule_id), 1, NULL)
FROM sent j
WHERE r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard AND r.status = 'queued'
  AND r.attempt = 0

-- name: queue_waits
-- What waits in each queue for nothing but a slot.
SELECT q.queue, count(*) AS runs, min(q.ready_at) AS oldest_at, coalesce(max(p.paused), 0) AS paused
FROM runs q LEFT JOIN queues p ON p.name = q.queue
WHERE q.status = 'queued' AND q.ready_at <= utc_now() AND q.lane IS NULL AND (q.serial IS NULL OR q.serial_held = q.serial)
GROUP BY q.queue

-- name: follow_look
-- Ended runs whose followers were not looked at, and the digest by which to judge; without any one row, its fire_at NULL.
SELECT d.digest, marked.fire_at, marked.schedule_id, marked.shard, marked.attempt
FROM schedule_digest d
LEFT JOIN (SELECT fire_at, schedule_id, shard, attempt FROM runs WHERE follow = 1 LIMIT :limit) marked ON TRUE

-- name: fire_runs
-- Every run of some fires.
SELECT u.fire_at, u.schedule_id, u.shard, u.status, u.shards, u.reason_code
FROM json_each(:rows) j CROSS JOIN runs u ON u.fire_at = utc_text(j.value ->> 0) AND u.schedule_id = j.value ->> 1

-- name: followed
-- Take the marks off, but of runs that have ended again since they were looked at.
WITH sent AS MATERIALIZED (SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard,
                           value ->> 3 AS attempt FROM json_each(:rows))
UPDATE runs AS r SET follow = NULL FROM sent j
WHERE r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard AND r.follow = 1 AND r.attempt = j.attempt

-- name: reopen_followers
-- As new rows that the nodes have yet to dress.
WITH sent AS MATERIALIZED (SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard FROM json_each(:rows))
UPDATE runs AS r
SET status = 'queued', version = NULL, serial = NULL, serial_held = NULL, ready_at = utc_now(), expires_at = NULL,
    finished_at = NULL, reason_code = NULL, reason = NULL, follow = NULL, pinned_node_id = NULL
FROM sent j
WHERE r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard AND r.status = 'skipped' AND r.reason_code = 'upstream'

-- name: upstream_runs
-- The runs of one instant that a schedule follows, called as they were called then.
SELECT u.fire_at, u.schedule_id, u.shard, u.shards, u.status, u.exit_code, u.result,
       coalesce(h.definition ->> '$.name', s.name, '#' || u.schedule_id) AS schedule
FROM schedule_after e
CROSS JOIN runs u ON u.fire_at = utc_text(:fire_at) AND u.schedule_id = e.upstream_id
LEFT JOIN schedule_history h ON h.id = u.version LEFT JOIN schedules s ON s.id = u.schedule_id
WHERE e.follower_id = :schedule_id
ORDER BY u.schedule_id, u.shard

-- name: edges
-- Who follows whom, as the store has it.
SELECT upstream_id, follower_id FROM schedule_after

-- name: auditor_term
-- A row if this node leads under that term.
SELECT 1 AS present FROM roles WHERE name = 'auditor' AND holder = :node_id AND term = :term

-- name: add_edges
-- From here on every end of an upstream is marked.
INSERT INTO schedule_after (upstream_id, follower_id) SELECT value ->> 0, value ->> 1 FROM json_each(:rows)

-- name: remove_edges
-- These follow no more.
DELETE FROM schedule_after WHERE (upstream_id, follower_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(:rows))

-- name: mark_followed
-- What ended before the edge was there.
UPDATE runs INDEXED BY of_schedule SET follow = 1
WHERE schedule_id = :upstream_id AND fire_at > utc_text(:since) AND status NOT IN ('queued', 'running') AND follow IS NULL

-- name: clear_follow_problems
-- Take back that schedules cannot follow, but for those that still cannot, for the same reason.
DELETE FROM schedule_problems
WHERE (schedule_id, problem) NOT IN (SELECT value ->> 0, value ->> 2 FROM json_each(:rows))
  AND EXISTS (SELECT 1 FROM schedule_history h
              WHERE h.id = (SELECT max(x.id) FROM schedule_history x WHERE x.schedule_id = schedule_problems.schedule_id)
                AND (h.problem IS NULL OR h.deleted = 1))

-- name: put_follow_problems
-- Say of schedules whose rows are usable by themselves why they cannot follow: nothing of them runs meanwhile.
INSERT INTO schedule_problems (schedule_id, version, problem, good_id, noticed_at)
SELECT j.value ->> 0, h.id, j.value ->> 2, 0, utc_now()
FROM json_each(:rows) j
CROSS JOIN schedule_history h ON h.id = j.value ->> 1 AND h.schedule_id = j.value ->> 0 AND h.problem IS NULL
WHERE TRUE
ON CONFLICT (schedule_id) DO UPDATE SET version = excluded.version

-- name: last_ends
-- Whether schedules have open runs, and when the last of their fifty newest runs ended.
WITH open AS MATERIALIZED (
    SELECT schedule_id FROM runs INDEXED BY pull WHERE status = 'queued'
    UNION SELECT schedule_id FROM runs INDEXED BY mine WHERE status = 'running')
SELECT j.value AS schedule_id, j.value IN (SELECT schedule_id FROM open) AS open,
       (SELECT max(iif(x.origin = 'after', max(x.finished_at, x.fire_at), x.finished_at)) FROM runs x INDEXED BY of_schedule
        WHERE x.schedule_id = j.value AND x.status NOT IN ('queued', 'running')
          AND x.fire_at >= coalesce((SELECT y.fire_at FROM runs y INDEXED BY of_schedule WHERE y.schedule_id = j.value
                                     ORDER BY y.fire_at DESC LIMIT 1 OFFSET 49), '')) AS finished_at
FROM json_each(:rows) j

-- name: orphans
-- Runs of nodes that are purged or have left, however their rows came to be.
SELECT r.fire_at, r.schedule_id, r.shard, r.attempt, r.node_id, r.take_overs, r.started_at IS NOT NULL AS started,
       coalesce(h.definition ->> 'on_node_loss', 'rerun') AS on_node_loss, coalesce(h.definition ->> 'route', 'sticky') AS route
FROM runs r INDEXED BY mine CROSS JOIN nodes n ON n.id = r.node_id AND n.state IN ('purged', 'left')
LEFT JOIN schedule_history h ON h.id = r.version
WHERE r.status = 'running' ORDER BY r.fire_at, r.schedule_id, r.shard LIMIT :limit

-- name: all_orphans
-- Of nodes that somebody removed by hand, too.
SELECT r.fire_at, r.schedule_id, r.shard, r.attempt, coalesce(r.node_id, '') AS node_id, r.take_overs, r.started_at IS NOT NULL AS started,
       coalesce(h.definition ->> 'on_node_loss', 'rerun') AS on_node_loss, coalesce(h.definition ->> 'route', 'sticky') AS route
FROM runs r INDEXED BY mine LEFT JOIN nodes n ON n.id = r.node_id LEFT JOIN schedule_history h ON h.id = r.version
WHERE r.status = 'running' AND n.live_name IS NULL ORDER BY r.fire_at, r.schedule_id, r.shard LIMIT :limit

-- name: reclaim_attempts
-- Before `reclaim`: the attempts that are lost while their runs go on. REPLACE: as in finish_outputs.
WITH sent AS MATERIALIZED (
    SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard, value ->> 3 AS attempt,
           value ->> 4 AS node_id, value ->> 6 AS reason
    FROM json_each(:rows) WHERE value ->> 5 = 1)
REPLACE INTO attempts (fire_at, schedule_id, shard, attempt, node_id, outcome, reason_code, reason, claimed_at, started_at,
                       ended_at)
SELECT r.fire_at, r.schedule_id, r.shard, r.attempt, r.node_id, 'lost', 'node_lost', j.reason, r.claimed_at, r.started_at,
       utc_now()
FROM sent j
CROSS JOIN runs r ON r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard
WHERE r.status = 'running' AND coalesce(r.node_id, '') = j.node_id AND r.attempt = j.attempt AND r.kill_requested = 0

-- name: reclaim
-- Back to the queue as the next attempt, or closed: node_lost even where a kill was asked for, for `finish_answer`.
WITH sent AS MATERIALIZED (
    SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard, value ->> 3 AS attempt,
           value ->> 4 AS node_id, value ->> 5 AS again, value ->> 6 AS reason
    FROM json_each(:rows)),
gone AS MATERIALIZED (
    SELECT j.*, j.again = 1 AND r.kill_requested = 0 AS back, r.kill_requested <> 0 AS killed
    FROM sent j
    CROSS JOIN runs r ON r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard
    WHERE r.status = 'running' AND coalesce(r.node_id, '') = j.node_id AND r.attempt = j.attempt)
UPDATE runs AS r
SET status = CASE WHEN g.back THEN 'queued' WHEN g.killed THEN 'killed' ELSE 'lost' END,
    ready_at = iif(g.back, utc_now(), r.ready_at),
    finished_at = iif(g.back, NULL, utc_now()),
    take_overs = r.take_overs + 1,
    reason_code = 'node_lost',
    reason = g.reason,
    lane_slot = NULL,
    serial = iif(g.back, r.serial, NULL),
    serial_held = iif(g.back, r.serial_held, NULL),
    follow = iif(g.back, NULL, iif(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = r.schedule_id), 1, NULL))
FROM gone g
WHERE r.fire_at = g.fire_at AND r.schedule_id = g.schedule_id AND r.shard = g.shard

-- name: undressed
-- Queued rows that were put in without a version, once they are ready.
SELECT fire_at, schedule_id, shard FROM runs WHERE status = 'queued' AND version IS NULL AND ready_at <= utc_now() LIMIT :limit

-- name: fan_out
-- The other shards of a row put in by hand, like it and as undressed as it is.
INSERT INTO runs (fire_at, schedule_id, shard, ready_at, origin, args, requested_by, priority, queue)
SELECT r.fire_at, r.schedule_id, j.value, r.ready_at, r.origin, r.args, r.requested_by, r.priority, r.queue
FROM json_each(:rows) j
CROSS JOIN runs r ON r.fire_at = utc_text(:fire_at) AND r.schedule_id = :schedule_id AND r.shard = 0
WHERE r.status = 'queued' AND r.version IS NULL
  AND NOT EXISTS (SELECT 1 FROM runs z WHERE z.fire_at = r.fire_at AND z.schedule_id = r.schedule_id AND z.shard = j.value)

-- name: holder
-- Which run holds a serial.
SELECT fire_at, schedule_id, shard FROM runs WHERE serial_held = :serial

-- name: dress
-- They get what their schedules say; a serial is held from here on, or waited for.
WITH sent AS MATERIALIZED (
    SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard, value ->> 3 AS version,
           value ->> 4 AS queue, value ->> 5 AS priority, value ->> 6 AS serial, value ->> 7 AS waits, value ->> 8 AS lane,
           value ->> 9 AS shards, value ->> 10 AS pinned_node_id
    FROM json_each(:rows))
UPDATE runs AS r
SET version = j.version, queue = j.queue, priority = j.priority, serial = j.serial,
    serial_held = iif(j.waits = 1, NULL, j.serial), lane = j.lane, shards = j.shards, pinned_node_id = j.pinned_node_id
FROM sent j
WHERE r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard AND r.status = 'queued'
  AND r.version IS NULL

-- name: close_killed
-- Nobody owns a queued run, so that nobody else would end it. One that was replaced before it began was never stopped: skipped.
WITH some AS MATERIALIZED (
    SELECT fire_at, schedule_id, shard FROM runs WHERE status = 'queued' AND kill_requested <> 0 LIMIT :limit)
UPDATE runs AS r
SET status = iif(r.kill_requested = 2 AND r.attempt = 0, 'skipped', 'killed'),
    reason_code = iif(r.kill_requested = 2, 'replaced', 'kill_requested'),
    reason = iif(r.kill_requested = 2, 'replaced by ' || coalesce(r.requested_by, 'a later run'), 'killed while it was queued'),
    finished_at = utc_now(), serial = NULL, serial_held = NULL, follow = iif(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = r.schedule_id), 1, NULL)
FROM some x WHERE r.fire_at = x.fire_at AND r.schedule_id = x.schedule_id AND r.shard = x.shard

-- name: close_pinned
-- Queued runs for one node alone that is gone; ids never come back.
WITH some AS MATERIALIZED (
    SELECT q.fire_at, q.schedule_id, q.shard FROM runs q CROSS JOIN schedules s ON s.id = q.schedule_id AND s.route = 'all'
    WHERE q.status = 'queued' AND q.kill_requested = 0 AND q.version IS NOT NULL AND q.pinned_node_id IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = q.pinned_node_id AND n.live_name IS NOT NULL) LIMIT :limit)
UPDATE runs AS r
SET status = iif(r.attempt = 0, 'missed', 'lost'), reason_code = iif(r.attempt = 0, 'no_node', 'node_lost'),
    reason = 'it was for one node alone, which is gone: ' || r.pinned_node_id,
    finished_at = utc_now(), serial = NULL, serial_held = NULL, follow = iif(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = r.schedule_id), 1, NULL)
FROM some x WHERE r.fire_at = x.fire_at AND r.schedule_id = x.schedule_id AND r.shard = x.shard

-- name: close_deleted
-- Queued runs of schedules that are gone.
WITH some AS MATERIALIZED (
    SELECT q.fire_at, q.schedule_id, q.shard FROM runs q
    WHERE q.status = 'queued' AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.id = q.schedule_id) LIMIT :limit)
UPDATE runs AS r
SET status = 'killed', reason_code = 'schedule_deleted', reason = 'its schedule was deleted', finished_at = utc_now(),
    serial = NULL, serial_held = NULL, follow = iif(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = r.schedule_id), 1, NULL)
FROM some x WHERE r.fire_at = x.fire_at AND r.schedule_id = x.schedule_id AND r.shard = x.shard

-- name: expire
-- Never started, and too late to start now.
WITH some AS MATERIALIZED (
    SELECT fire_at, schedule_id, shard FROM runs
    WHERE status = 'queued' AND attempt = 0 AND expires_at < utc_now() AND kill_requested = 0 AND version IS NOT NULL LIMIT :limit)
UPDATE runs AS r
SET status = 'missed', reason_code = 'no_slot', reason = 'no node with a free slot took it in time',
    finished_at = utc_now(), serial = NULL, serial_held = NULL, follow = iif(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = r.schedule_id), 1, NULL)
FROM some x WHERE r.fire_at = x.fire_at AND r.schedule_id = x.schedule_id AND r.shard = x.shard

-- name: join
-- A node is born.
INSERT INTO nodes (id, name, host, address, pid, state, started_at, beat_at, beat_seq, beat_s, slots, queues, roles,
                   version, tzdata, boot_id, pid_namespace, process_start, czxid)
VALUES (:id, :node_name, :host, :address, :pid, :state, utc_now(), utc_now(), 1, :beat_s, :slots, :queues, :roles,
        :version, :tzdata, :boot_id, :pid_namespace, :process_start, :czxid)

-- name: beat
-- I live.
UPDATE nodes
SET beat_at = utc_now(), beat_seq = beat_seq + 1, running = :running, cpu_pct = :cpu_pct, memory_bytes = :memory_bytes,
    clock_offset_ms = :clock_offset_ms, digest = :digest, slots = COALESCE(:slots, slots), beat_s = COALESCE(:beat_s, beat_s)
WHERE id = :node_id AND state IN ('live', 'cordoned', 'draining')

-- name: set_state
-- Of a present node.
UPDATE nodes SET state = :state WHERE id = :node_id AND state IN ('live', 'cordoned', 'draining')

-- name: node_named
-- The present node of a name.
SELECT n.id, n.name, n.state, n.beat_seq, n.beat_at, n.beat_s, n.slots, n.queues, n.roles, n.czxid,
       n.beat_at < utc_in(-n.lease_us) AS stale,
       n.host, n.address, n.pid, n.boot_id, n.pid_namespace, n.process_start, n.version, n.tzdata
FROM nodes n WHERE n.live_name = :node_name

-- name: purge
-- Only a flip, on a beat counter that the purger has seen stand still.
UPDATE nodes SET state = 'purged'
WHERE id = :node_id AND state IN ('live', 'cordoned', 'draining') AND beat_seq = :beat_seq
  AND (:watched = 0 OR beat_at < utc_in(-lease_us))

-- name: lead
-- Take the role if it is free.
UPDATE roles SET holder = :node_id, term = term + 1, expires_at = utc_in(:lease)
WHERE name = 'auditor' AND (expires_at IS NULL OR expires_at < utc_now())

-- name: restore_auditor
-- Somebody removed the row.
INSERT INTO roles (name) SELECT 'auditor' WHERE NOT EXISTS (SELECT 1 FROM roles WHERE name = 'auditor')

-- name: audit_look
-- What a tick of the auditor begins with; term and watermark NULL where this node does not lead.
SELECT utc_now() AS now, a.term, a.watermark, (SELECT digest FROM schedule_digest) AS digest
FROM (SELECT 1) LEFT JOIN roles a ON a.name = 'auditor' AND a.holder = :node_id AND a.expires_at >= utc_now()

-- name: missing
-- Which of these have no row.
WITH sent AS MATERIALIZED (
    SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard FROM json_each(:rows))
SELECT j.fire_at, j.schedule_id, j.shard FROM sent j
WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard)

-- name: catch_up_until
-- Until when the audit has spread what is queued.
SELECT max(q.ready_at) AS ready_at FROM runs q INDEXED BY pull WHERE q.status = 'queued' AND q.origin = 'audit'

-- name: open_rows
-- Fires that nobody has claimed, under the version that stands: the audit's by its term, followers' (term NULL) by a live
-- node; at most one row per serial, and a fire of several shards whole.
WITH sent AS MATERIALIZED (
    SELECT utc_text(value ->> 0) AS fire_at, value ->> 1 AS schedule_id, value ->> 2 AS shard, value ->> 3 AS version,
           value ->> 4 AS status, value ->> 5 AS reason_code, value ->> 6 AS reason, value ->> 7 AS queue,
           value ->> 8 AS priority, value ->> 9 AS delay, value ->> 10 AS grace, value ->> 11 AS serial,
           value ->> 12 AS overlap, utc_text(value ->> 13) AS until, value ->> 14 AS missed_count, value ->> 15 AS lane,
           value ->> 16 AS shards, value ->> 17 AS pinned_node_id
    FROM json_each(:rows)),
judged AS MATERIALIZED (
    SELECT j.*, EXISTS (SELECT 1 FROM runs o WHERE o.serial = j.serial) AS taken,
           CASE WHEN j.status = 'queued' THEN CASE j.overlap
               WHEN 'skip' THEN (SELECT 'the run of ' || replace(replace(b.fire_at, ' ', 'T') || 'Z', '.000000Z', 'Z') || ' is still ' || b.status
                                 FROM runs b WHERE b.serial = j.serial ORDER BY b.serial_held IS NOT b.serial, b.fire_at LIMIT 1)
               WHEN 'wait' THEN (SELECT 'the run of ' || replace(replace(b.fire_at, ' ', 'T') || 'Z', '.000000Z', 'Z') || ' waits already'
                                 FROM runs b WHERE b.serial = j.serial AND b.serial_held IS NOT b.serial ORDER BY b.fire_at LIMIT 1)
               WHEN 'replace' THEN (SELECT 'the run of ' || replace(replace(b.fire_at, ' ', 'T') || 'Z', '.000000Z', 'Z') || ' is newer'
                                    FROM runs b WHERE b.serial = j.serial AND b.fire_at > j.fire_at ORDER BY b.fire_at LIMIT 1) END END AS why
    FROM sent j),
born AS MATERIALIZED (SELECT j.*, j.status = 'queued' AND j.why IS NULL AS open FROM judged j)
INSERT INTO runs (fire_at, schedule_id, shard, status, reason_code, reason, queue, priority, ready_at, expires_at, origin,
                  version, finished_at, until, missed_count, serial, serial_held, lane, shards, pinned_node_id, follow)
SELECT j.fire_at, j.schedule_id, j.shard, iif(j.why IS NULL, j.status, 'skipped'), iif(j.why IS NULL, j.reason_code, 'overlap'),
       coalesce(j.why, j.reason), j.queue, j.priority, utc_in(j.delay), utc_in(j.delay + j.grace), :origin,
       coalesce(h.good_id, h.id, (SELECT max(x.id) FROM schedule_history x WHERE x.schedule_id = j.schedule_id)),
       iif(j.open, NULL, utc_now()), j.until, j.missed_count, iif(j.open, j.serial, NULL),
       CASE WHEN j.open AND NOT j.taken THEN j.serial WHEN j.open AND j.overlap = 'wait' THEN j.serial || '+' END,
       j.lane, j.shards, j.pinned_node_id, iif(j.open, NULL, iif(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = j.schedule_id), 1, NULL))
FROM born j
LEFT JOIN schedule_history h ON h.id = j.version AND h.schedule_id = j.schedule_id
LEFT JOIN schedules s ON s.id = j.schedule_id
WHERE iif(:term IS NULL, EXISTS (SELECT 1 FROM nodes n WHERE n.id = :node_id AND n.state = 'live' AND n.beat_at >= utc_in(-n.lease_us)),
          EXISTS (SELECT 1 FROM roles a WHERE a.name = 'auditor' AND a.holder = :node_id AND a.term = :term))
  AND iif(j.version IS NULL, s.id IS NULL, s.version = h.version AND s.updated_at = h.updated_at)
  AND (j.status <> 'queued' OR coalesce(h.good_id, 1) <> 0)
  AND (:term IS NULL OR j.fire_at <= utc_in(-:lag))
  AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.fire_at = j.fire_at AND r.schedule_id = j.schedule_id AND r.shard = j.shard)
  AND (j.shards = 1 OR NOT EXISTS (SELECT 1 FROM runs z WHERE z.fire_at = j.fire_at AND z.schedule_id = j.schedule_id
                                   AND z.shard = 0))

-- name: move_watermark
-- From where this holder saw it, under its term.
UPDATE roles SET watermark = utc_text(:cut), expires_at = utc_in(:lease)
WHERE name = 'auditor' AND holder = :node_id AND term = :term AND watermark IS utc_text(:old)
  AND utc_text(:cut) <= utc_in(-:lag)

-- name: retention_bound
-- No run from here on may be removed: a day, and never above the watermark.
SELECT min(coalesce(a.watermark, utc_text(0)), utc_in(-86400000000)) AS bound_at
FROM (SELECT 1) LEFT JOIN roles a ON a.name = 'auditor'

-- name: remove_runs
-- The oldest of one status.
WITH old AS MATERIALIZED (
    SELECT fire_at, schedule_id, shard FROM runs
    WHERE fire_at < utc_text(:before) AND status = :status AND status NOT IN ('queued', 'running')
      AND follow IS NULL
    ORDER BY fire_at, schedule_id, shard LIMIT :limit)
DELETE FROM runs WHERE (fire_at, schedule_id, shard) IN (SELECT fire_at, schedule_id, shard FROM old)

-- name: remove_outputs
-- The oldest, of successes or of the others.
DELETE FROM outputs WHERE rowid IN (
    SELECT rowid FROM outputs WHERE fire_at < utc_text(:before) AND succeeded = :succeeded
    ORDER BY fire_at, schedule_id, shard, attempt LIMIT :limit)

-- name: remove_attempts
-- The oldest.
WITH old AS MATERIALIZED (
    SELECT fire_at, schedule_id, shard, attempt FROM attempts WHERE fire_at < utc_text(:before)
    ORDER BY fire_at, schedule_id, shard, attempt LIMIT :limit)
DELETE FROM attempts WHERE (fire_at, schedule_id, shard, attempt) IN (
    SELECT fire_at, schedule_id, shard, attempt FROM old)

-- name: removable_nodes
-- Long gone, and no open run names them.
SELECT n.id FROM nodes n
WHERE n.state IN ('purged', 'left') AND n.beat_at < utc_text(:before)
  AND n.id NOT IN (SELECT r.node_id FROM runs r INDEXED BY mine WHERE r.status = 'running' AND r.node_id IS NOT NULL)
  AND n.id NOT IN (SELECT r.node_id FROM runs r INDEXED BY pull WHERE r.status = 'queued' AND r.node_id IS NOT NULL)
ORDER BY n.beat_at LIMIT :limit

-- name: remove_nodes
-- Those just named, if they are still gone.
DELETE FROM nodes WHERE id IN (SELECT value FROM json_each(:rows)) AND state IN ('left', 'purged')

-- name: count_runs
-- How many there are.
SELECT count(*) AS count FROM runs

-- name: desk_enable
-- Pause or resume schedules by name; those that are so already stay untouched.
UPDATE schedules SET enabled = :enabled, updated_at = utc_now()
WHERE name IN (SELECT value FROM json_each(:names)) AND enabled <> :enabled

-- name: desk_kill_of
-- Ask that all open runs of schedules end.
UPDATE runs SET kill_requested = 1, requested_by = coalesce(:requested_by, requested_by)
WHERE (fire_at, schedule_id, shard) IN (
    SELECT fire_at, schedule_id, shard FROM runs INDEXED BY pull WHERE status = 'queued'
    UNION ALL
    SELECT fire_at, schedule_id, shard FROM runs INDEXED BY mine WHERE status = 'running')
  AND kill_requested = 0 AND schedule_id IN (
    SELECT s.id FROM json_each(:names) j CROSS JOIN schedules s ON s.name = j.value)

-- name: desk_runs
-- The newest runs first; statuses NULL: all.
SELECT l.* FROM run_list l
WHERE l.fire_at >= :since AND (:statuses IS NULL OR l.status IN (SELECT value FROM json_each(:statuses)))
ORDER BY l.fire_at DESC, l.schedule_id DESC, l.shard DESC LIMIT :limit

-- name: desk_runs_of
-- The same, of some schedules. ids: JSON list.
SELECT l.* FROM run_list l
WHERE l.schedule_id IN (SELECT value FROM json_each(:ids)) AND l.fire_at >= :since
  AND (:statuses IS NULL OR l.status IN (SELECT value FROM json_each(:statuses)))
ORDER BY l.fire_at DESC, l.schedule_id DESC, l.shard DESC LIMIT :limit

-- name: desk_ids
-- The highest id of a schedule on record, or of a run above those that were ever given out; and the highest of these. A run
-- put in by hand for a schedule that never was has no version, and is no record of one.
SELECT max(coalesce((SELECT max(schedule_id) FROM schedule_history), 0),
           coalesce((SELECT r.schedule_id FROM runs r INDEXED BY of_schedule WHERE r.schedule_id > g.given AND r.version IS NOT NULL
                     ORDER BY r.schedule_id LIMIT 1), 0)) AS recorded, g.given
FROM (SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'schedules'), 0) AS given) g

-- name: desk_named_once
-- Schedules that were called so in some version.
SELECT DISTINCT h.schedule_id FROM schedule_history h WHERE h.definition ->> '$.name' = :schedule
ORDER BY h.schedule_id DESC

-- name: desk_queue_runs
-- Open runs by queue and status; ready: those that might start, and since when the first of them might.
SELECT r.queue, r.status, count(*) AS runs, sum(r.ready_at <= utc_now()) AS ready,
       min(CASE WHEN r.ready_at <= utc_now() THEN r.ready_at END) AS oldest_at, utc_now() AS now
FROM runs r INDEXED BY pull WHERE r.status = 'queued' GROUP BY r.queue
UNION ALL
SELECT r.queue, r.status, count(*), 0, NULL, utc_now()
FROM runs r INDEXED BY mine WHERE r.status = 'running' GROUP BY r.queue

-- name: desk_lane_runs
-- Open runs by lane and status.
SELECT r.lane, r.status, count(*) AS runs
FROM runs r INDEXED BY pull WHERE r.status = 'queued' AND r.lane IS NOT NULL GROUP BY r.lane
UNION ALL
SELECT r.lane, r.status, count(*)
FROM runs r INDEXED BY mine WHERE r.status = 'running' AND r.lane IS NOT NULL GROUP BY r.lane
