-- The protocol's statements for MySQL 8.0.19+ and MariaDB 10.6+. docs/protocol.md has the reasons.
--
-- Instants come in as whole microseconds, :rows is a JSON array of arrays. What is relied on:
--   INSERT .. SELECT and single-table UPDATE lock only what they write; a multi-table UPDATE also
--     takes shared locks on what it reads (READ COMMITTED).
--   STRAIGHT_JOIN with JSON_TABLE first, and FORCE INDEX: the optimizer must neither scan nor lock more.
--   No SET expression reads another column that its statement writes: the order of assignments differs.
--   JSON_TABLE columns are wider than anything stored, so that nothing is cut short in silence, and name
--     their character set: without one they take the database's default, and lose what that lacks.

-- name: schema_present
-- A row if Leasebeat's tables are here.
SELECT 1 AS present FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'schema_info'

-- name: installation
-- The id that init gave.
SELECT installation FROM schema_info

-- name: schema_info
-- Of which version the tables are, and who may use them.
SELECT version, min_worker, coordinator FROM schema_info

-- name: schema_columns
-- What is there: a row per table, its engine and its columns as a JSON list.
SELECT t.TABLE_NAME AS name, t.ENGINE AS engine, JSON_ARRAYAGG(c.COLUMN_NAME) AS columns
FROM information_schema.TABLES t JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE = 'BASE TABLE' GROUP BY t.TABLE_NAME, t.ENGINE

-- name: default_timezone
-- Of schedules that name none. MariaDB gives it in quotes.
SELECT TRIM(BOTH '''' FROM COLUMN_DEFAULT) AS timezone FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'schedules' AND COLUMN_NAME = 'timezone'

-- name: server_version
-- What the server says it is.
SELECT VERSION() AS version

-- name: server_variables
-- The settings of the server and of this session on which the statements rely.
SHOW SESSION VARIABLES WHERE Variable_name IN (
  'autocommit', 'binlog_format', 'group_replication_group_name', 'group_replication_single_primary_mode', 'innodb_flush_log_at_trx_commit',
  'innodb_lock_wait_timeout', 'innodb_read_only', 'log_bin', 'max_allowed_packet', 'read_only', 'sql_mode', 'super_read_only', 'sync_binlog',
  'time_zone', 'transaction_isolation', 'tx_isolation', 'wsrep_on')

-- name: look_at_schedules
-- Every schedule's version. Gives now, digest, schedule_id, version, updated_at; without schedules one row, its schedule_id NULL.
SELECT UTC_TIMESTAMP(6) AS now, d.digest, s.id AS schedule_id, s.version, s.updated_at
FROM schedule_digest d LEFT JOIN schedules s FORCE INDEX (digest) ON TRUE

-- name: schedule_rows
-- Whole rows. rows: ids.
SELECT STRAIGHT_JOIN s.id, s.name, s.description, s.owner, s.cron, s.command, s.kind, s.args, s.timezone, s.enabled, s.starts_at,
       s.ends_at, s.calendar, s.dst, s.jitter_s, s.queue, s.priority, s.route, s.shards, s.shard_args, s.overlap, s.lane, s.misfire,
       s.misfire_grace_s, s.timeout_s, s.retries, s.retry_delay_s, s.retry_backoff, s.on_node_loss, s.after, s.after_rule,
       s.run_as, s.alert, s.version, s.updated_at
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$')) j JOIN schedules s ON s.id = j.s

-- name: see_versions
-- Record what the rows say, each behind the newest recorded version of its schedule; 1062: another node was first, send it again.
-- A last_read ahead of the clock (a watermark out of a restored copy) postpones nothing. An ends_at that is
-- no date (of a session that was not strict) is none: it is the problem of its row, and not of the others.
-- rows: schedule_id, version, updated_at, definition, problem, last_read, diff.
INSERT INTO schedule_history (schedule_id, former_id, version, updated_at, valid_from, enabled, ends_at, definition, diff, problem, good_id)
SELECT STRAIGHT_JOIN s.id, COALESCE(f.id, 0), s.version, s.updated_at,
       GREATEST(LEAST(CAST(s.updated_at AS DATETIME(6)), UTC_TIMESTAMP(6)), LEAST(TIMESTAMPADD(MICROSECOND, j.seen, TIMESTAMP'1970-01-01 00:00:00'), UTC_TIMESTAMP(6)),
                COALESCE(f.valid_from, TIMESTAMP'1970-01-01 00:00:00')),
       s.enabled, IF(s.ends_at >= '1970-01-01' AND DAYOFMONTH(s.ends_at) <= DAYOFMONTH(LAST_DAY(s.ends_at)), s.ends_at, NULL),
       j.definition, j.diff, j.problem,
       IF(j.problem IS NULL, NULL, COALESCE((SELECT MAX(g.id) FROM schedule_history g
                                             WHERE g.schedule_id = j.s AND g.problem IS NULL AND g.deleted = 0), 0))
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$[0]', v VARCHAR(100) CHARACTER SET utf8mb4 PATH '$[1]', u BIGINT PATH '$[2]',
                definition LONGTEXT CHARACTER SET utf8mb4 PATH '$[3]', problem TEXT CHARACTER SET utf8mb4 PATH '$[4]', seen BIGINT PATH '$[5]',
                diff LONGTEXT CHARACTER SET utf8mb4 PATH '$[6]')) j
JOIN schedules s ON s.id = j.s AND s.version = j.v AND s.updated_at = TIMESTAMPADD(MICROSECOND, j.u, TIMESTAMP'1970-01-01 00:00:00')
LEFT JOIN schedule_history f ON f.id = (SELECT MAX(x.id) FROM schedule_history x WHERE x.schedule_id = j.s)
WHERE f.id IS NULL OR f.deleted = 1 OR f.version <> s.version OR f.updated_at <> s.updated_at

-- name: see_deleted
-- Record that schedules are gone, each once. rows: ids.
INSERT INTO schedule_history (schedule_id, former_id, version, updated_at, valid_from, enabled, deleted, definition, good_id)
SELECT STRAIGHT_JOIN f.schedule_id, f.id, f.version, f.updated_at,
       GREATEST(UTC_TIMESTAMP(6), LEAST(TIMESTAMPADD(MICROSECOND, :last_read, TIMESTAMP'1970-01-01 00:00:00'), UTC_TIMESTAMP(6)), f.valid_from), 0, 1, f.definition, 0
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$')) j
JOIN schedule_history f ON f.id = (SELECT MAX(x.id) FROM schedule_history x WHERE x.schedule_id = j.s) AND f.deleted = 0
LEFT JOIN schedules s ON s.id = j.s
WHERE s.id IS NULL

-- name: vanished
-- Schedules whose newest recorded version is no deletion, and whose row is gone.
SELECT h.schedule_id FROM schedule_history h LEFT JOIN schedules s ON s.id = h.schedule_id
WHERE s.id IS NULL AND h.deleted = 0
  AND NOT EXISTS (SELECT 1 FROM schedule_history n WHERE n.schedule_id = h.schedule_id AND n.former_id = h.id)

-- name: clear_problems
-- Take back what is said of schedules whose newest recorded version is usable, or gone. rows: ids.
DELETE p FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$')) j
STRAIGHT_JOIN schedule_problems p ON p.schedule_id = j.s
STRAIGHT_JOIN schedule_history h ON h.id = (SELECT MAX(x.id) FROM schedule_history x WHERE x.schedule_id = j.s)
WHERE h.problem IS NULL OR h.deleted = 1

-- name: put_problems
-- Say of schedules whose newest recorded version is unusable why, and what runs meanwhile. rows: ids.
INSERT INTO schedule_problems (schedule_id, version, problem, good_id, noticed_at)
SELECT STRAIGHT_JOIN h.schedule_id, h.id, h.problem, COALESCE(h.good_id, 0), h.seen_at
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$')) j
JOIN schedule_history h ON h.id = (SELECT MAX(x.id) FROM schedule_history x WHERE x.schedule_id = j.s)
WHERE h.problem IS NOT NULL AND h.deleted = 0
ON DUPLICATE KEY UPDATE version = VALUES(version), problem = VALUES(problem), good_id = VALUES(good_id), noticed_at = VALUES(noticed_at)

-- name: calendar_days
-- The days of some calendars. rows: names.
SELECT STRAIGHT_JOIN c.name, DATE_FORMAT(c.day, '%Y-%m-%d') AS calendar_day, c.effect
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (name VARCHAR(200) CHARACTER SET utf8mb4 PATH '$')) j JOIN calendars c ON c.name = j.name
ORDER BY c.name, c.day

-- name: touch
-- Rows that are as they were read become new versions: their calendar says something else. Another node may be doing
-- the same; the first one's stands. rows: schedule_id, version, updated_at.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$[0]', v VARCHAR(100) CHARACTER SET utf8mb4 PATH '$[1]', u BIGINT PATH '$[2]')) j
STRAIGHT_JOIN schedules s ON s.id = j.s AND s.version = j.v AND s.updated_at = TIMESTAMPADD(MICROSECOND, j.u, TIMESTAMP'1970-01-01 00:00:00')
SET s.updated_at = UTC_TIMESTAMP(6)

-- name: versions
-- The newest recorded version of each, with the definition that runs. rows: ids.
SELECT STRAIGHT_JOIN h.id, h.schedule_id, h.version, h.updated_at, h.valid_from, h.enabled, h.deleted, h.problem, h.good_id, h.ends_at, g.definition
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$')) j
JOIN schedule_history h ON h.id = (SELECT MAX(x.id) FROM schedule_history x WHERE x.schedule_id = j.s)
LEFT JOIN schedule_history g ON g.id = COALESCE(h.good_id, h.id)

-- name: history
-- Every version valid from :after on, and of each schedule that has one, the one in force at it.
SELECT h.id, h.schedule_id, h.version, h.updated_at, h.valid_from, h.enabled, h.deleted, h.problem, h.good_id, h.ends_at, g.definition
FROM (SELECT n.id FROM schedule_history n WHERE n.valid_from >= TIMESTAMPADD(MICROSECOND, :after, TIMESTAMP'1970-01-01 00:00:00')
      UNION ALL
      SELECT (SELECT f.id FROM schedule_history f
              WHERE f.schedule_id = c.schedule_id AND f.valid_from < TIMESTAMPADD(MICROSECOND, :after, TIMESTAMP'1970-01-01 00:00:00')
              ORDER BY f.valid_from DESC, f.id DESC LIMIT 1)
      FROM (SELECT DISTINCT schedule_id FROM schedule_history
            WHERE valid_from >= TIMESTAMPADD(MICROSECOND, :after, TIMESTAMP'1970-01-01 00:00:00')) c) w
JOIN schedule_history h ON h.id = w.id
LEFT JOIN schedule_history g ON g.id = COALESCE(h.good_id, h.id)
ORDER BY h.schedule_id, h.valid_from, h.id

-- name: history_of
-- Of the given schedules, every version valid from :after on and the one in force at it. rows: ids.
SELECT h.id, h.schedule_id, h.version, h.updated_at, h.valid_from, h.enabled, h.deleted, h.problem, h.good_id, h.ends_at, g.definition
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$')) j
JOIN schedule_history h ON h.schedule_id = j.s
 AND (h.valid_from >= TIMESTAMPADD(MICROSECOND, :after, TIMESTAMP'1970-01-01 00:00:00')
      OR h.id = (SELECT f.id FROM schedule_history f
                 WHERE f.schedule_id = j.s AND f.valid_from < TIMESTAMPADD(MICROSECOND, :after, TIMESTAMP'1970-01-01 00:00:00')
                 ORDER BY f.valid_from DESC, f.id DESC LIMIT 1))
LEFT JOIN schedule_history g ON g.id = COALESCE(h.good_id, h.id)
ORDER BY h.schedule_id, h.valid_from, h.id

-- name: definitions
-- The definitions that versions hold themselves. rows: ids of schedule_history.
SELECT STRAIGHT_JOIN h.id, h.definition
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (v BIGINT PATH '$')) j JOIN schedule_history h ON h.id = j.v

-- name: definition
-- What a version says.
SELECT definition FROM schedule_history WHERE id = :version

-- name: poll
-- Everything a node wants to know each second, in one round trip: the same of it all in each row, and a row for each present
-- node (an aggregate of JSON would be a temporary table on disk). Only the auditor looks for queued runs of schedules that
-- are gone: that look is at every queued row. queues: JSON list of names.
SELECT STRAIGHT_JOIN t.now, t.digest, t.running, t.kills, t.ready, t.orphans, t.sweep, t.holder, t.term, t.expired, t.watermark,
       n.id, n.name, n.state, n.beat_seq, n.beat_at, n.beat_s, n.slots, n.queues, n.roles,
       n.beat_at < UTC_TIMESTAMP(6) - INTERVAL n.lease_us MICROSECOND AS stale
FROM (
  SELECT UTC_TIMESTAMP(6) AS now, (SELECT d.digest FROM schedule_digest d) AS digest,
         (SELECT COUNT(*) FROM runs m FORCE INDEX (mine) WHERE m.node_id = :node_id AND m.status = 'running') AS running,
         EXISTS (SELECT 1 FROM runs k FORCE INDEX (mine) WHERE k.node_id = :node_id AND k.status = 'running' AND k.kill_requested = 1) AS kills,
         EXISTS (SELECT STRAIGHT_JOIN 1 FROM JSON_TABLE(:queues, '$[*]' COLUMNS (name VARCHAR(200) CHARACTER SET utf8mb4 PATH '$')) j
                 JOIN runs q FORCE INDEX (pull) ON q.status = 'queued' AND q.queue = j.name
                 JOIN schedules s ON s.id = q.schedule_id
                 WHERE q.ready_at <= UTC_TIMESTAMP(6) AND q.kill_requested = 0 AND q.version IS NOT NULL
                   AND (q.attempt > 0 OR q.expires_at IS NULL OR q.expires_at > UTC_TIMESTAMP(6))
                   AND (q.pinned_node_id IS NULL OR q.pinned_node_id = :node_id)
                   AND (s.enabled = 1 OR q.attempt > 0 OR q.origin = 'manual')
                   AND NOT (q.reason_code <=> 'start_failed' AND q.node_id = :node_id
                            AND q.ready_at > UTC_TIMESTAMP(6) - INTERVAL :start_failed_away MICROSECOND)
                   AND NOT EXISTS (SELECT 1 FROM queues p WHERE p.name = j.name AND p.paused = 1)
                   AND (q.serial IS NULL OR q.serial_held IS NOT NULL
                        OR (NOT EXISTS (SELECT 1 FROM runs b WHERE b.serial_held = q.serial)
                            AND NOT EXISTS (SELECT 1 FROM runs e WHERE e.serial = q.serial AND e.fire_at < q.fire_at)))) AS ready,
         EXISTS (SELECT STRAIGHT_JOIN 1 FROM nodes g FORCE INDEX (state) JOIN runs o FORCE INDEX (mine) ON o.node_id = g.id AND o.status = 'running'
                 WHERE g.state IN ('purged', 'left')) AS orphans,
         EXISTS (SELECT 1 FROM runs w FORCE INDEX (wants) WHERE w.wants IN ('dress', 'kill'))
         OR EXISTS (SELECT 1 FROM runs w FORCE INDEX (wants) WHERE w.wants = 'wait' AND w.expires_at < UTC_TIMESTAMP(6))
         OR IF(a.holder = :node_id, EXISTS (SELECT STRAIGHT_JOIN 1 FROM runs w FORCE INDEX (pull) LEFT JOIN schedules x ON x.id = w.schedule_id
                                            WHERE w.status = 'queued' AND x.id IS NULL), 0) AS sweep,
         a.holder, a.term, a.expires_at IS NULL OR a.expires_at < UTC_TIMESTAMP(6) AS expired, a.watermark
  FROM (SELECT 1 AS one) u LEFT JOIN roles a ON a.name = 'auditor' LIMIT 1
) t LEFT JOIN nodes n FORCE INDEX (state) ON n.state IN ('live', 'cordoned', 'draining')

-- name: mine
-- What the store says this node runs.
SELECT fire_at, schedule_id, shard, attempt, claimed_at, started_at, version, args, failures, take_overs, reason_code, kill_requested,
       claimed_at < UTC_TIMESTAMP(6) - INTERVAL :settle MICROSECOND AS settled
FROM runs FORCE INDEX (mine) WHERE node_id = :node_id AND status = 'running'

-- name: claim
-- Open fires of one instant. Nothing is locked but the rows that are inserted; the guards are read in one snapshot.
-- rows: schedule_id, shard, version, due, run, queue, priority, delay, grace, serial, overlap.
INSERT INTO runs (fire_at, schedule_id, shard, status, queue, priority, ready_at, expires_at, node_id, attempt, origin, version, claimed_at, serial, serial_held)
SELECT STRAIGHT_JOIN TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00'), j.s, j.k, IF(j.run = 1, 'running', 'queued'), j.queue, j.priority,
       TIMESTAMPADD(MICROSECOND, :fire_at + j.delay, TIMESTAMP'1970-01-01 00:00:00'),
       TIMESTAMPADD(MICROSECOND, :fire_at + j.delay + j.grace, TIMESTAMP'1970-01-01 00:00:00'),
       IF(j.run = 1, n.id, NULL), j.run, 'trigger', COALESCE(h.good_id, h.id), IF(j.run = 1, UTC_TIMESTAMP(6), NULL), j.serial, j.serial
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$[0]', k INT PATH '$[1]', h BIGINT PATH '$[2]', d BIGINT PATH '$[3]', run INT PATH '$[4]',
                queue VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[5]', priority INT PATH '$[6]', delay BIGINT PATH '$[7]', grace BIGINT PATH '$[8]', serial VARCHAR(300) CHARACTER SET utf8mb4 PATH '$[9]')) j
JOIN nodes n            ON n.id = :node_id AND n.state = 'live' AND n.beat_at >= UTC_TIMESTAMP(6) - INTERVAL n.lease_us MICROSECOND
JOIN schedule_history h ON h.id = j.h AND h.schedule_id = j.s AND COALESCE(h.good_id, 1) <> 0
JOIN schedule_history d ON d.id = j.d AND d.schedule_id = j.s AND d.enabled = 1
                       AND d.valid_from < TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00')
JOIN schedules s        ON s.id = j.s AND s.enabled = 1 AND s.version = h.version AND s.updated_at = h.updated_at
LEFT JOIN runs r        ON r.fire_at = TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
WHERE r.schedule_id IS NULL AND NOT EXISTS (SELECT 1 FROM runs b WHERE b.serial = j.serial)
  AND TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') <= UTC_TIMESTAMP(6)
  AND TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') > UTC_TIMESTAMP(6) - INTERVAL :reach MICROSECOND

-- name: fence
-- When a run was given out.
SELECT claimed_at FROM runs
WHERE fire_at = TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') AND schedule_id = :schedule_id AND shard = :shard

-- name: claim_rest
-- Of a claim that inserted fewer rows than it was sent: those that are skipped because an open run wants their serial.
-- rows: as claim.
INSERT INTO runs (fire_at, schedule_id, shard, status, reason_code, reason, queue, priority, ready_at, origin, version, finished_at)
SELECT STRAIGHT_JOIN TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00'), j.s, j.k, 'skipped', 'overlap',
       COALESCE(CONCAT('the run of ', REPLACE(DATE_FORMAT(b.fire_at, '%Y-%m-%dT%H:%i:%s.%fZ'), '.000000Z', 'Z'), ' is still ', b.status), 'an earlier run is still open'),
       j.queue, j.priority, TIMESTAMPADD(MICROSECOND, :fire_at + j.delay, TIMESTAMP'1970-01-01 00:00:00'), 'trigger', COALESCE(h.good_id, h.id), UTC_TIMESTAMP(6)
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$[0]', k INT PATH '$[1]', h BIGINT PATH '$[2]', d BIGINT PATH '$[3]', run INT PATH '$[4]',
                queue VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[5]', priority INT PATH '$[6]', delay BIGINT PATH '$[7]', grace BIGINT PATH '$[8]', serial VARCHAR(300) CHARACTER SET utf8mb4 PATH '$[9]',
                overlap VARCHAR(40) CHARACTER SET utf8mb4 PATH '$[10]')) j
JOIN nodes n            ON n.id = :node_id AND n.state = 'live' AND n.beat_at >= UTC_TIMESTAMP(6) - INTERVAL n.lease_us MICROSECOND
JOIN schedule_history h ON h.id = j.h AND h.schedule_id = j.s AND COALESCE(h.good_id, 1) <> 0
JOIN schedule_history d ON d.id = j.d AND d.schedule_id = j.s AND d.enabled = 1
                       AND d.valid_from < TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00')
JOIN schedules s        ON s.id = j.s AND s.enabled = 1 AND s.version = h.version AND s.updated_at = h.updated_at
LEFT JOIN runs b        ON b.serial_held = j.serial
LEFT JOIN runs r        ON r.fire_at = TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
WHERE j.overlap = 'skip' AND r.schedule_id IS NULL AND EXISTS (SELECT 1 FROM runs o WHERE o.serial = j.serial)
  AND TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') <= UTC_TIMESTAMP(6)
  AND TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') > UTC_TIMESTAMP(6) - INTERVAL :reach MICROSECOND

-- name: claim_answer
-- What became of each row that was sent. Gives schedule_id, shard, answer, attempt, claimed_at, version, wait. rows: as claim.
SELECT STRAIGHT_JOIN j.s AS schedule_id, j.k AS shard,
       CASE WHEN r.node_id = :node_id AND r.status = 'running' THEN 'mine'
            WHEN r.schedule_id IS NOT NULL THEN 'other'
            WHEN TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') > UTC_TIMESTAMP(6) THEN 'early'
            WHEN TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') <= UTC_TIMESTAMP(6) - INTERVAL :reach MICROSECOND THEN 'late'
            WHEN s.id IS NULL THEN 'deleted'
            WHEN s.enabled = 0 THEN 'paused'
            WHEN h.id IS NULL OR s.version <> h.version OR s.updated_at <> h.updated_at THEN 'stale'
            WHEN n.id IS NULL THEN 'node'
            ELSE 'again' END AS answer,
       IF(r.node_id = :node_id AND r.status = 'running', r.attempt, 0) AS attempt,
       IF(r.node_id = :node_id AND r.status = 'running', r.claimed_at, NULL) AS claimed_at,
       IF(r.node_id = :node_id AND r.status = 'running', r.version, 0) AS version,
       TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00')) AS wait
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$[0]', k INT PATH '$[1]', h BIGINT PATH '$[2]', d BIGINT PATH '$[3]')) j
LEFT JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
LEFT JOIN schedules s ON s.id = j.s
LEFT JOIN schedule_history h ON h.id = j.h AND h.schedule_id = j.s AND COALESCE(h.good_id, 1) <> 0
LEFT JOIN nodes n ON n.id = :node_id AND n.state = 'live' AND n.beat_at >= UTC_TIMESTAMP(6) - INTERVAL n.lease_us MICROSECOND

-- name: pull_look
-- The head of one queue, best first: a plain read in the order of the index.
SELECT STRAIGHT_JOIN q.fire_at, q.schedule_id, q.shard, q.attempt
FROM runs q FORCE INDEX (pull) JOIN schedules s ON s.id = q.schedule_id
WHERE q.status = 'queued' AND q.queue = :queue AND q.ready_at <= UTC_TIMESTAMP(6) AND q.kill_requested = 0 AND q.version IS NOT NULL
  AND (q.attempt > 0 OR q.expires_at IS NULL OR q.expires_at > UTC_TIMESTAMP(6))
  AND (q.pinned_node_id IS NULL OR q.pinned_node_id = :node_id)
  AND (s.enabled = 1 OR q.attempt > 0 OR q.origin = 'manual')
  AND NOT (q.reason_code <=> 'start_failed' AND q.node_id = :node_id
           AND q.ready_at > UTC_TIMESTAMP(6) - INTERVAL :start_failed_away MICROSECOND)
  AND NOT EXISTS (SELECT 1 FROM queues p WHERE p.name = :queue AND p.paused = 1)
  AND (q.serial IS NULL OR q.serial_held IS NOT NULL
       OR (NOT EXISTS (SELECT 1 FROM runs b WHERE b.serial_held = q.serial)
           AND NOT EXISTS (SELECT 1 FROM runs e WHERE e.serial = q.serial AND e.fire_at < q.fire_at)))
ORDER BY q.pull_order, q.ready_at, q.fire_at, q.schedule_id, q.shard LIMIT :limit

-- name: pull
-- Take queued runs by key; what others have locked is passed over, never waited for. The shared lock that it takes on the
-- node's own row is wanted: it orders this pull and a purge of the node. rows: fire_at, schedule_id, shard, attempt.
UPDATE (SELECT STRAIGHT_JOIN q.fire_at, q.schedule_id, q.shard
        FROM JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', a INT PATH '$[3]')) j
        JOIN runs q ON q.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND q.schedule_id = j.s AND q.shard = j.k
        WHERE q.status = 'queued' AND q.attempt = j.a AND q.kill_requested = 0 LIMIT :limit FOR UPDATE SKIP LOCKED) d
STRAIGHT_JOIN nodes n ON n.id = :node_id AND n.state = 'live' AND n.beat_at >= UTC_TIMESTAMP(6) - INTERVAL n.lease_us MICROSECOND
STRAIGHT_JOIN runs r ON r.fire_at = d.fire_at AND r.schedule_id = d.schedule_id AND r.shard = d.shard
SET r.status = 'running', r.node_id = n.id, r.attempt = r.attempt + 1, r.serial_held = r.serial, r.started_at = NULL,
    r.claimed_at = GREATEST(UTC_TIMESTAMP(6), COALESCE(r.claimed_at + INTERVAL 1 MICROSECOND, UTC_TIMESTAMP(6)))
WHERE r.status = 'queued'

-- name: start
-- Write down that attempts begin, before they do. rows: fire_at, schedule_id, shard, attempt.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', a INT PATH '$[3]')) j
STRAIGHT_JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
SET r.started_at = COALESCE(r.started_at, UTC_TIMESTAMP(6))
WHERE r.status = 'running' AND r.node_id = :node_id AND r.attempt = j.a

-- name: finish_outputs
-- Keep what attempts printed, where they are still this node's. REPLACE: a run put back by hand counts its attempts
-- anew, and one key that is there already may not stop the others for ever. rows: fire_at, schedule_id, shard, attempt, succeeded, output in base64, output_bytes.
REPLACE INTO outputs (fire_at, schedule_id, shard, attempt, succeeded, output, output_bytes)
SELECT STRAIGHT_JOIN r.fire_at, r.schedule_id, r.shard, r.attempt, j.succeeded, FROM_BASE64(j.output), j.bytes
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', a INT PATH '$[3]',
                succeeded INT PATH '$[4]', output LONGTEXT CHARACTER SET utf8mb4 PATH '$[5]', bytes BIGINT PATH '$[6]')) j
JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
WHERE r.status = 'running' AND r.node_id = :node_id AND r.attempt = j.a
FOR UPDATE

-- name: finish_attempts
-- Keep the attempts whose runs go back to the queue. FOR UPDATE: the update that follows agrees with it.
-- REPLACE: as in finish_outputs. rows: fire_at, schedule_id, shard, attempt, status, again, delay, failed, lost, exit_code, reason_code, reason, result, started_at.
REPLACE INTO attempts (fire_at, schedule_id, shard, attempt, node_id, outcome, exit_code, reason_code, reason, claimed_at, started_at, ended_at)
SELECT STRAIGHT_JOIN r.fire_at, r.schedule_id, r.shard, r.attempt, r.node_id, j.status, j.exit_code, j.reason_code, j.reason, r.claimed_at,
       COALESCE(r.started_at, TIMESTAMPADD(MICROSECOND, j.started, TIMESTAMP'1970-01-01 00:00:00')), UTC_TIMESTAMP(6)
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', a INT PATH '$[3]', status VARCHAR(40) CHARACTER SET utf8mb4 PATH '$[4]',
                again INT PATH '$[5]', exit_code INT PATH '$[9]', reason_code VARCHAR(80) CHARACTER SET utf8mb4 PATH '$[10]', reason VARCHAR(2000) CHARACTER SET utf8mb4 PATH '$[11]', started BIGINT PATH '$[13]')) j
JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
WHERE r.status = 'running' AND r.node_id = :node_id AND r.attempt = j.a AND j.again = 1 AND r.kill_requested = 0
FOR UPDATE

-- name: finish
-- End attempts where node and attempt still match. rows: as finish_attempts.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', a INT PATH '$[3]', status VARCHAR(40) CHARACTER SET utf8mb4 PATH '$[4]',
                again INT PATH '$[5]', delay BIGINT PATH '$[6]', failed INT PATH '$[7]', lost INT PATH '$[8]', exit_code INT PATH '$[9]',
                reason_code VARCHAR(80) CHARACTER SET utf8mb4 PATH '$[10]', reason VARCHAR(2000) CHARACTER SET utf8mb4 PATH '$[11]', result LONGTEXT CHARACTER SET utf8mb4 PATH '$[12]', started BIGINT PATH '$[13]')) j
STRAIGHT_JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
SET r.status      = IF(r.kill_requested = 1 AND j.status <> 'succeeded', 'killed', IF(j.again = 1, 'queued', j.status)),
    r.ready_at    = IF(j.again = 1 AND r.kill_requested = 0, UTC_TIMESTAMP(6) + INTERVAL j.delay MICROSECOND, r.ready_at),
    r.finished_at = IF(j.again = 1 AND r.kill_requested = 0, NULL, UTC_TIMESTAMP(6)),
    r.serial_held = IF(j.again = 1 AND r.kill_requested = 0, r.serial_held, NULL),
    r.serial      = IF(j.again = 1 AND r.kill_requested = 0, r.serial, NULL),
    r.reason_code = IF(r.kill_requested = 1 AND j.status <> 'succeeded', 'kill_requested', j.reason_code),
    r.reason      = j.reason,
    r.exit_code   = j.exit_code,
    r.result      = IF(JSON_VALID(j.result), j.result, NULL),
    r.started_at  = COALESCE(r.started_at, TIMESTAMPADD(MICROSECOND, j.started, TIMESTAMP'1970-01-01 00:00:00')),
    r.failures    = r.failures + j.failed,
    r.take_overs  = IF(j.lost = 1, r.take_overs + 1, 0),
    r.lane_slot   = NULL
WHERE r.status = 'running' AND r.node_id = :node_id AND r.attempt = j.a

-- name: finish_answer
-- Whether ends were recorded: asked after the commit, and after a lost reply. The last node stays on the row; what a
-- take-back wrote says node_lost. Gives fire_at, schedule_id, shard, attempt, recorded. rows: fire_at, schedule_id, shard, attempt.
SELECT STRAIGHT_JOIN r.fire_at, r.schedule_id, r.shard, j.a AS attempt,
       (r.node_id = :node_id AND r.attempt = j.a AND r.status NOT IN ('queued', 'running') AND NOT (r.reason_code <=> 'node_lost'))
       OR EXISTS (SELECT 1 FROM attempts t WHERE t.fire_at = r.fire_at AND t.schedule_id = r.schedule_id AND t.shard = r.shard AND t.attempt = j.a
                  AND t.node_id = :node_id AND t.outcome <> 'superseded' AND NOT (t.reason_code <=> 'node_lost')) AS recorded
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', a INT PATH '$[3]')) j
JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k

-- name: note_superseded
-- Keep outcomes that came after a take-over, over the take-back's own note of the attempt. rows: as finish_attempts.
INSERT INTO attempts (fire_at, schedule_id, shard, attempt, node_id, outcome, exit_code, reason_code, reason, started_at, ended_at)
SELECT STRAIGHT_JOIN r.fire_at, r.schedule_id, r.shard, j.a, :node_id, 'superseded', j.exit_code, j.reason_code, CONCAT_WS(': ', j.status, j.reason),
       TIMESTAMPADD(MICROSECOND, j.started, TIMESTAMP'1970-01-01 00:00:00'), UTC_TIMESTAMP(6)
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', a INT PATH '$[3]', status VARCHAR(40) CHARACTER SET utf8mb4 PATH '$[4]',
                exit_code INT PATH '$[9]', reason_code VARCHAR(80) CHARACTER SET utf8mb4 PATH '$[10]', reason VARCHAR(2000) CHARACTER SET utf8mb4 PATH '$[11]', started BIGINT PATH '$[13]')) j
JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
WHERE r.attempt >= j.a
ON DUPLICATE KEY UPDATE outcome = IF(attempts.node_id = VALUES(node_id), VALUES(outcome), attempts.outcome),
  exit_code = IF(attempts.node_id = VALUES(node_id), VALUES(exit_code), attempts.exit_code),
  reason_code = IF(attempts.node_id = VALUES(node_id), VALUES(reason_code), attempts.reason_code),
  reason = IF(attempts.node_id = VALUES(node_id), VALUES(reason), attempts.reason)

-- name: settle
-- End queued runs that never started. rows: fire_at, schedule_id, shard, status, reason_code, reason.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', status VARCHAR(40) CHARACTER SET utf8mb4 PATH '$[3]',
                reason_code VARCHAR(80) CHARACTER SET utf8mb4 PATH '$[4]', reason VARCHAR(2000) CHARACTER SET utf8mb4 PATH '$[5]')) j
STRAIGHT_JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
SET r.status = j.status, r.reason_code = j.reason_code, r.reason = j.reason, r.finished_at = UTC_TIMESTAMP(6), r.serial = NULL, r.serial_held = NULL
WHERE r.status = 'queued' AND r.attempt = 0

-- name: join
-- A node's first beat. 1062: a present node has its name.
INSERT INTO nodes (id, name, state, host, address, pid, beat_seq, beat_s, slots, queues, roles, version, tzdata, boot_id, pid_namespace, process_start)
VALUES (:id, :node_name, :state, :host, :address, :pid, 1, :beat_s, :slots, :queues, :roles, :version, :tzdata, :boot_id, :pid_namespace, :process_start)

-- name: beat
-- Say that this node lives.
UPDATE nodes SET beat_at = UTC_TIMESTAMP(6), beat_seq = beat_seq + 1, running = :running, cpu_pct = :cpu_pct, memory_bytes = :memory_bytes,
       clock_offset_ms = :clock_offset_ms, digest = :digest
WHERE id = :node_id AND state IN ('live', 'cordoned', 'draining')

-- name: set_state
-- Cordon, drain, resume or end a present node.
UPDATE nodes SET state = :state WHERE id = :node_id AND state IN ('live', 'cordoned', 'draining')

-- name: node_named
-- The present node of a name: what poll says of it, and its facts.
SELECT n.id, n.name, n.state, n.beat_seq, n.beat_at, n.beat_s, n.slots, n.queues, n.roles,
       n.beat_at < UTC_TIMESTAMP(6) - INTERVAL n.lease_us MICROSECOND AS stale,
       n.host, n.address, n.pid, n.boot_id, n.pid_namespace, n.process_start, n.version, n.tzdata
FROM nodes n WHERE n.live_name = :node_name

-- name: purge
-- Only a flip, on an unchanged beat counter; taking back the node's runs is another statement, repeated by all.
UPDATE nodes SET state = 'purged' WHERE id = :node_id AND state IN ('live', 'cordoned', 'draining') AND beat_seq = :beat_seq
  AND (:watched = 0 OR beat_at < UTC_TIMESTAMP(6) - INTERVAL lease_us MICROSECOND)

-- name: orphans
-- Running rows of nodes that are gone, however they came to be. Gives fire_at, schedule_id, shard, attempt, node_id, take_overs, started, on_node_loss.
SELECT STRAIGHT_JOIN r.fire_at, r.schedule_id, r.shard, r.attempt, r.node_id, r.take_overs, r.started_at IS NOT NULL AS started,
       COALESCE(JSON_UNQUOTE(JSON_EXTRACT(h.definition, '$.on_node_loss')), 'rerun') AS on_node_loss
FROM nodes n FORCE INDEX (state) JOIN runs r FORCE INDEX (mine) ON r.node_id = n.id AND r.status = 'running'
LEFT JOIN schedule_history h ON h.id = r.version
WHERE n.state IN ('purged', 'left') LIMIT :limit

-- name: all_orphans
-- The same, and running rows whose node has no row at all. Gives the same columns.
SELECT STRAIGHT_JOIN r.fire_at, r.schedule_id, r.shard, r.attempt, COALESCE(r.node_id, '') AS node_id, r.take_overs, r.started_at IS NOT NULL AS started,
       COALESCE(JSON_UNQUOTE(JSON_EXTRACT(h.definition, '$.on_node_loss')), 'rerun') AS on_node_loss
FROM runs r FORCE INDEX (pull) LEFT JOIN nodes n ON n.id = r.node_id
LEFT JOIN schedule_history h ON h.id = r.version
WHERE r.status = 'running' AND (n.id IS NULL OR n.state IN ('purged', 'left')) LIMIT :limit

-- name: reclaim_attempts
-- Keep the attempts of orphans that go back to the queue. REPLACE: as in finish_outputs.
-- rows: fire_at, schedule_id, shard, attempt, node_id, again, reason.
REPLACE INTO attempts (fire_at, schedule_id, shard, attempt, node_id, outcome, reason_code, reason, claimed_at, started_at, ended_at)
SELECT STRAIGHT_JOIN r.fire_at, r.schedule_id, r.shard, r.attempt, r.node_id, 'lost', 'node_lost', j.reason, r.claimed_at, r.started_at, UTC_TIMESTAMP(6)
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', a INT PATH '$[3]', n VARCHAR(100) CHARACTER SET utf8mb4 PATH '$[4]',
                again INT PATH '$[5]', reason VARCHAR(2000) CHARACTER SET utf8mb4 PATH '$[6]')) j
JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
WHERE r.status = 'running' AND COALESCE(r.node_id, '') = j.n AND r.attempt = j.a AND j.again = 1 AND r.kill_requested = 0
FOR UPDATE

-- name: reclaim
-- Put orphans back into the queue, or close them. rows: as reclaim_attempts.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', a INT PATH '$[3]', n VARCHAR(100) CHARACTER SET utf8mb4 PATH '$[4]',
                again INT PATH '$[5]', reason VARCHAR(2000) CHARACTER SET utf8mb4 PATH '$[6]')) j
STRAIGHT_JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
SET r.status      = IF(r.kill_requested = 1, 'killed', IF(j.again = 1, 'queued', 'lost')),
    r.ready_at    = IF(j.again = 1 AND r.kill_requested = 0, UTC_TIMESTAMP(6), r.ready_at),
    r.finished_at = IF(j.again = 1 AND r.kill_requested = 0, NULL, UTC_TIMESTAMP(6)),
    r.serial_held = IF(j.again = 1 AND r.kill_requested = 0, r.serial_held, NULL),
    r.serial      = IF(j.again = 1 AND r.kill_requested = 0, r.serial, NULL),
    r.take_overs  = r.take_overs + 1, r.lane_slot = NULL, r.reason_code = 'node_lost', r.reason = j.reason
WHERE r.status = 'running' AND COALESCE(r.node_id, '') = j.n AND r.attempt = j.a

-- name: undressed
-- Queued rows that were put in by hand or by a command, and lack their version.
SELECT fire_at, schedule_id, shard FROM runs FORCE INDEX (wants) WHERE wants = 'dress' LIMIT :limit

-- name: dress
-- Give such rows what their schedules say, before any node may pull them. 1062: another run holds the serial.
-- rows: fire_at, schedule_id, shard, version, queue, priority, serial.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', v BIGINT PATH '$[3]', queue VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[4]',
                priority INT PATH '$[5]', serial VARCHAR(300) CHARACTER SET utf8mb4 PATH '$[6]')) j
STRAIGHT_JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
SET r.version = j.v, r.queue = j.queue, r.priority = j.priority, r.serial = j.serial, r.serial_held = j.serial
WHERE r.status = 'queued' AND r.version IS NULL

-- name: close_killed
-- Nobody owns a queued run, so that nobody else would end it.
UPDATE runs FORCE INDEX (wants) SET status = 'killed', reason_code = 'kill_requested', reason = 'killed while it was queued', finished_at = UTC_TIMESTAMP(6),
       serial = NULL, serial_held = NULL
WHERE wants = 'kill' LIMIT :limit

-- name: close_deleted
-- Queued runs of schedules that are gone.
UPDATE runs FORCE INDEX (pull) SET status = 'killed', reason_code = 'schedule_deleted', reason = 'its schedule was deleted', finished_at = UTC_TIMESTAMP(6),
       serial = NULL, serial_held = NULL
WHERE status = 'queued' AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.id = runs.schedule_id) LIMIT :limit

-- name: expire
-- Queued runs that never started, and may not any more.
UPDATE runs FORCE INDEX (wants) SET status = 'missed', reason_code = 'no_slot', reason = 'no node with a free slot took it in time', finished_at = UTC_TIMESTAMP(6),
       serial = NULL, serial_held = NULL
WHERE wants = 'wait' AND expires_at < UTC_TIMESTAMP(6) LIMIT :limit

-- name: lead
-- Take the auditor's role when nobody has it.
UPDATE roles SET holder = :node_id, term = term + 1, expires_at = UTC_TIMESTAMP(6) + INTERVAL :lease MICROSECOND
WHERE name = 'auditor' AND (expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6))

-- name: restore_auditor
-- The role's row, if somebody removed it: without it nobody would ever lead.
INSERT INTO roles (name) SELECT 'auditor' FROM (SELECT 1 AS one) t WHERE NOT EXISTS (SELECT 1 FROM roles WHERE name = 'auditor')

-- name: audit_look
-- What a tick of the auditor begins with. Gives now, term and watermark (NULL where this node does not lead), digest.
SELECT UTC_TIMESTAMP(6) AS now, a.term, a.watermark, d.digest
FROM schedule_digest d LEFT JOIN roles a ON a.name = 'auditor' AND a.holder = :node_id AND a.expires_at >= UTC_TIMESTAMP(6)

-- name: missing
-- Which of these keys have no row. rows: fire_at, schedule_id, shard.
SELECT STRAIGHT_JOIN TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AS fire_at, j.s AS schedule_id, j.k AS shard
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]')) j
LEFT JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
WHERE r.schedule_id IS NULL

-- name: open_missing
-- Write the rows of due instants that have none: under the auditor's term, and where the schedule still is what it was judged by
-- (version NULL: gone). At most one row per serial in one statement.
-- rows: fire_at, schedule_id, shard, version, status, reason_code, reason, queue, priority, delay, grace, serial, overlap, until, missed_count.
INSERT INTO runs (fire_at, schedule_id, shard, status, reason_code, reason, queue, priority, ready_at, expires_at, origin, version, finished_at,
                  until, missed_count, serial, serial_held)
SELECT STRAIGHT_JOIN TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00'), j.s, j.k,
       IF(j.status = 'queued' AND j.overlap = 'skip' AND b.schedule_id IS NOT NULL, 'skipped', j.status),
       IF(j.status = 'queued' AND j.overlap = 'skip' AND b.schedule_id IS NOT NULL, 'overlap', j.reason_code),
       IF(j.status = 'queued' AND j.overlap = 'skip' AND b.schedule_id IS NOT NULL,
          CONCAT('the run of ', REPLACE(DATE_FORMAT(b.fire_at, '%Y-%m-%dT%H:%i:%s.%fZ'), '.000000Z', 'Z'), ' is still ', b.status), j.reason),
       j.queue, j.priority, UTC_TIMESTAMP(6) + INTERVAL j.delay MICROSECOND, UTC_TIMESTAMP(6) + INTERVAL j.delay + j.grace MICROSECOND, 'audit',
       COALESCE(h.good_id, h.id, (SELECT MAX(x.id) FROM schedule_history x WHERE x.schedule_id = j.s)),
       IF(j.status = 'queued' AND (b.schedule_id IS NULL OR j.overlap <> 'skip'), NULL, UTC_TIMESTAMP(6)),
       TIMESTAMPADD(MICROSECOND, j.until, TIMESTAMP'1970-01-01 00:00:00'), j.missed_count,
       IF(j.status = 'queued' AND (b.schedule_id IS NULL OR j.overlap <> 'skip'), j.serial, NULL),
       IF(j.status = 'queued' AND b.schedule_id IS NULL, j.serial, NULL)
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', h BIGINT PATH '$[3]', status VARCHAR(40) CHARACTER SET utf8mb4 PATH '$[4]',
                reason_code VARCHAR(80) CHARACTER SET utf8mb4 PATH '$[5]', reason VARCHAR(2000) CHARACTER SET utf8mb4 PATH '$[6]', queue VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[7]', priority INT PATH '$[8]',
                delay BIGINT PATH '$[9]', grace BIGINT PATH '$[10]', serial VARCHAR(300) CHARACTER SET utf8mb4 PATH '$[11]', overlap VARCHAR(40) CHARACTER SET utf8mb4 PATH '$[12]',
                until BIGINT PATH '$[13]', missed_count INT PATH '$[14]')) j
JOIN roles a ON a.name = 'auditor' AND a.holder = :node_id AND a.term = :term
LEFT JOIN schedule_history h ON h.id = j.h AND h.schedule_id = j.s
LEFT JOIN schedules s ON s.id = j.s
LEFT JOIN runs b ON b.serial_held = j.serial
LEFT JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
WHERE r.schedule_id IS NULL
  AND ((j.h IS NULL AND s.id IS NULL) OR (s.version = h.version AND s.updated_at = h.updated_at))
  AND (j.status <> 'queued' OR COALESCE(h.good_id, 1) <> 0)
  AND TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') <= UTC_TIMESTAMP(6) - INTERVAL :lag MICROSECOND

-- name: move_watermark
-- Say that everything up to :cut is accounted for, and keep the role: under the same term, from the same old value, and never
-- beyond what the store's own clock allows.
UPDATE roles SET watermark = TIMESTAMPADD(MICROSECOND, :cut, TIMESTAMP'1970-01-01 00:00:00'), expires_at = UTC_TIMESTAMP(6) + INTERVAL :lease MICROSECOND
WHERE name = 'auditor' AND holder = :node_id AND term = :term
  AND watermark <=> TIMESTAMPADD(MICROSECOND, :old, TIMESTAMP'1970-01-01 00:00:00')
  AND TIMESTAMPADD(MICROSECOND, :cut, TIMESTAMP'1970-01-01 00:00:00') <= UTC_TIMESTAMP(6) - INTERVAL :lag MICROSECOND

-- name: retention_bound
-- No run from here on may be removed: a day, and never above the watermark.
SELECT LEAST(COALESCE(a.watermark, TIMESTAMP'1970-01-01 00:00:00'), UTC_TIMESTAMP(6) - INTERVAL 1 DAY) AS bound_at
FROM (SELECT 1 AS one) t LEFT JOIN roles a ON a.name = 'auditor'

-- name: remove_runs
-- Ended runs, oldest first; none whose followers were not looked at.
DELETE FROM runs WHERE fire_at < TIMESTAMPADD(MICROSECOND, :before, TIMESTAMP'1970-01-01 00:00:00')
  AND status = :status AND status NOT IN ('queued', 'running') AND follow IS NULL
ORDER BY fire_at, schedule_id, shard LIMIT :limit

-- name: remove_outputs
-- What was printed long ago.
DELETE FROM outputs WHERE fire_at < TIMESTAMPADD(MICROSECOND, :before, TIMESTAMP'1970-01-01 00:00:00') AND succeeded = :succeeded
ORDER BY fire_at, schedule_id, shard, attempt LIMIT :limit

-- name: remove_attempts
-- Earlier tries of long ago.
DELETE FROM attempts WHERE fire_at < TIMESTAMPADD(MICROSECOND, :before, TIMESTAMP'1970-01-01 00:00:00')
ORDER BY fire_at, schedule_id, shard, attempt LIMIT :limit

-- name: removable_nodes
-- Nodes long gone that no open run names.
SELECT n.id FROM nodes n FORCE INDEX (state)
WHERE n.state IN ('purged', 'left') AND n.beat_at < TIMESTAMPADD(MICROSECOND, :before, TIMESTAMP'1970-01-01 00:00:00')
  AND NOT EXISTS (SELECT 1 FROM runs r FORCE INDEX (mine) WHERE r.node_id = n.id AND r.status IN ('queued', 'running'))
LIMIT :limit

-- name: remove_nodes
-- Remove such rows. A row never comes back from `purged` or `left`. rows: ids.
DELETE n FROM JSON_TABLE(:rows, '$[*]' COLUMNS (id VARCHAR(100) CHARACTER SET utf8mb4 PATH '$')) j STRAIGHT_JOIN nodes n ON n.id = j.id
WHERE n.state IN ('purged', 'left')

-- name: count_runs
-- The server's own estimate.
SELECT TABLE_ROWS AS count FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'runs'

-- name: desk_enable
-- Pause or resume schedules by name; those that are so already stay untouched. names: JSON list.
UPDATE schedules SET enabled = :enabled, updated_at = UTC_TIMESTAMP(6)
WHERE enabled <> :enabled AND name IN (SELECT j.name FROM JSON_TABLE(:names, '$[*]' COLUMNS (name VARCHAR(300) CHARACTER SET utf8mb4 PATH '$')) j)

-- name: desk_kill_of
-- Ask that all open runs of schedules end. names: JSON list.
UPDATE runs FORCE INDEX (pull) SET kill_requested = 1, requested_by = COALESCE(:requested_by, requested_by)
WHERE status IN ('queued', 'running') AND kill_requested = 0
  AND schedule_id IN (SELECT s.id FROM JSON_TABLE(:names, '$[*]' COLUMNS (name VARCHAR(300) CHARACTER SET utf8mb4 PATH '$')) j JOIN schedules s ON s.name = j.name)

-- name: desk_runs
-- The newest runs first. statuses: JSON list; NULL: all.
SELECT l.* FROM run_list l
WHERE l.fire_at >= :since AND (:statuses IS NULL OR JSON_CONTAINS(:statuses, JSON_QUOTE(l.status)))
ORDER BY l.fire_at DESC, l.schedule_id DESC, l.shard DESC LIMIT :limit

-- name: desk_runs_of
-- The same, of some schedules. ids: JSON list.
SELECT l.* FROM run_list l
WHERE l.schedule_id IN (SELECT j.id FROM JSON_TABLE(:ids, '$[*]' COLUMNS (id BIGINT PATH '$')) j) AND l.fire_at >= :since
  AND (:statuses IS NULL OR JSON_CONTAINS(:statuses, JSON_QUOTE(l.status)))
ORDER BY l.fire_at DESC, l.schedule_id DESC, l.shard DESC LIMIT :limit

-- name: desk_ids
-- The highest id of a schedule on record, and the highest that was ever given out. A run put in by hand for a schedule that
-- never was has no version, and is no record of one.
SELECT GREATEST(COALESCE((SELECT MAX(schedule_id) FROM schedule_history), 0),
                COALESCE((SELECT r.schedule_id FROM runs r FORCE INDEX (of_schedule) WHERE r.version IS NOT NULL
                          ORDER BY r.schedule_id DESC LIMIT 1), 0)) AS recorded,
       (SELECT COALESCE(t.AUTO_INCREMENT, 1) - 1 FROM information_schema.TABLES t
        WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = 'schedules') AS given

-- name: desk_named_once
-- Schedules that were called so in some version.
SELECT DISTINCT h.schedule_id FROM schedule_history h WHERE JSON_UNQUOTE(JSON_EXTRACT(h.definition, '$.name')) = :schedule
ORDER BY h.schedule_id DESC

-- name: desk_queue_runs
-- Open runs by queue and status; ready: those that might start, and since when the first of them might.
SELECT r.queue, r.status, COUNT(*) AS runs, SUM(CASE WHEN r.ready_at <= UTC_TIMESTAMP(6) THEN 1 ELSE 0 END) AS ready,
       MIN(CASE WHEN r.ready_at <= UTC_TIMESTAMP(6) THEN r.ready_at END) AS oldest_at, UTC_TIMESTAMP(6) AS now
FROM runs r WHERE r.status IN ('queued', 'running') GROUP BY r.queue, r.status

-- name: desk_lane_runs
-- Open runs by lane and status.
SELECT r.lane, r.status, COUNT(*) AS runs FROM runs r
WHERE r.status IN ('queued', 'running') AND r.lane IS NOT NULL GROUP BY r.lane, r.status
