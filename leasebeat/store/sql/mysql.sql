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

-- name: switch_coordinator
-- Only while no node is there. Who else may be starting now looks again after it has joined.
UPDATE schema_info SET coordinator = :wanted
WHERE coordinator = :found AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.state IN ('live', 'cordoned', 'draining'))

-- name: restore_coordinator
-- A node was there all the same: it goes on under the coordinator that it was started with.
UPDATE schema_info SET coordinator = :found WHERE coordinator = :wanted

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
-- Take back what is said of schedules whose newest recorded version is usable, or gone. What is said of that very
-- version is that it cannot follow: the auditor's to take back. rows: ids.
DELETE p FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$')) j
STRAIGHT_JOIN schedule_problems p ON p.schedule_id = j.s
STRAIGHT_JOIN schedule_history h ON h.id = (SELECT MAX(x.id) FROM schedule_history x WHERE x.schedule_id = j.s)
WHERE (h.problem IS NULL AND p.version <> h.id) OR h.deleted = 1

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
-- are gone, and of nodes that are gone: those looks are at every such row. queues: JSON list of names.
SELECT STRAIGHT_JOIN t.now, t.digest, t.running, t.kills, t.ready, t.orphans, t.sweep, t.follow, t.holder, t.term, t.expired, t.watermark,
       n.id, n.name, n.state, n.beat_seq, n.beat_at, n.beat_s, n.slots, n.queues, n.roles, n.czxid,
       n.beat_at < UTC_TIMESTAMP(6) - INTERVAL n.lease_us MICROSECOND AS stale,
       (SELECT JSON_ARRAYAGG(z.name) FROM queues z WHERE z.paused = 1) AS paused,
       (SELECT i.coordinator FROM schema_info i) AS coordinator
FROM (
  SELECT UTC_TIMESTAMP(6) AS now, (SELECT d.digest FROM schedule_digest d) AS digest,
         (SELECT COUNT(*) FROM runs m FORCE INDEX (mine) WHERE m.node_id = :node_id AND m.status = 'running') AS running,
         EXISTS (SELECT 1 FROM runs k FORCE INDEX (mine) WHERE k.node_id = :node_id AND k.status = 'running' AND k.kill_requested <> 0) AS kills,
         EXISTS (SELECT STRAIGHT_JOIN 1 FROM JSON_TABLE(:queues, '$[*]' COLUMNS (name VARCHAR(200) CHARACTER SET utf8mb4 PATH '$')) j
                 JOIN runs q FORCE INDEX (pull) ON q.status = 'queued' AND q.queue = j.name
                 JOIN schedules s ON s.id = q.schedule_id
                 LEFT JOIN lanes l ON l.name = q.lane
                 LEFT JOIN (SELECT SUBSTRING_INDEX(h.lane_slot, ':', 1) AS lane, COUNT(*) AS held FROM runs h FORCE INDEX (lane_slot)
                            WHERE h.lane_slot IS NOT NULL GROUP BY 1) f ON f.lane = q.lane
                 WHERE q.ready_at <= UTC_TIMESTAMP(6) AND q.kill_requested = 0 AND q.version IS NOT NULL
                   AND (q.attempt > 0 OR q.expires_at IS NULL OR q.expires_at > UTC_TIMESTAMP(6))
                   AND (q.pinned_node_id IS NULL OR q.pinned_node_id = :node_id
                        OR (s.route <> 'all' AND (q.attempt > 0 OR q.ready_at <= UTC_TIMESTAMP(6) - INTERVAL :pinned_away MICROSECOND)))
                   AND (s.route NOT LIKE 'node:%' OR s.route = CONCAT('node:', (SELECT me.name FROM nodes me WHERE me.id = :node_id)))
                   AND (s.enabled = 1 OR q.attempt > 0 OR q.origin = 'manual')
                   AND NOT (q.reason_code <=> 'start_failed' AND q.node_id = :node_id
                            AND q.ready_at > UTC_TIMESTAMP(6) - INTERVAL :start_failed_away MICROSECOND)
                   AND NOT EXISTS (SELECT 1 FROM queues p WHERE p.name = j.name AND p.paused = 1)
                   AND (q.serial IS NULL OR q.serial_held = q.serial
                        OR (NOT EXISTS (SELECT 1 FROM runs b WHERE b.serial_held = q.serial)
                            AND NOT EXISTS (SELECT 1 FROM runs e WHERE e.serial = q.serial AND e.fire_at < q.fire_at)))
                   AND (q.lane IS NULL OR COALESCE(f.held, 0) < COALESCE(l.size, 1))) AS ready,
         EXISTS (SELECT STRAIGHT_JOIN 1 FROM nodes g FORCE INDEX (state) JOIN runs o FORCE INDEX (mine) ON o.node_id = g.id AND o.status = 'running'
                 WHERE g.state IN ('purged', 'left')) AS orphans,
         EXISTS (SELECT 1 FROM runs w FORCE INDEX (wants) WHERE w.wants = 'kill')
         OR EXISTS (SELECT 1 FROM runs w FORCE INDEX (wants) WHERE w.wants = 'dress' AND w.ready_at <= UTC_TIMESTAMP(6))
         OR EXISTS (SELECT 1 FROM runs w FORCE INDEX (wants) WHERE w.wants IN ('wait', 'pin') AND w.attempt = 0 AND w.expires_at < UTC_TIMESTAMP(6))
         OR IF(a.holder = :node_id, EXISTS (SELECT STRAIGHT_JOIN 1 FROM runs w FORCE INDEX (pull) LEFT JOIN schedules x ON x.id = w.schedule_id
                                            WHERE w.status = 'queued' AND x.id IS NULL)
                                    OR EXISTS (SELECT STRAIGHT_JOIN 1 FROM runs w FORCE INDEX (wants)
                                               JOIN schedules x ON x.id = w.schedule_id AND x.route = 'all'
                                               LEFT JOIN nodes g FORCE INDEX (PRIMARY) ON g.id = w.pinned_node_id AND g.state NOT IN ('purged', 'left')
                                               WHERE w.wants = 'pin' AND g.id IS NULL), 0) AS sweep,
         EXISTS (SELECT 1 FROM runs w FORCE INDEX (wants) WHERE w.wants = 'follow') AS follow,
         a.holder, a.term, a.expires_at IS NULL OR a.expires_at < UTC_TIMESTAMP(6) AS expired, a.watermark
  FROM (SELECT 1 AS one) u LEFT JOIN roles a ON a.name = 'auditor' LIMIT 1
) t LEFT JOIN nodes n FORCE INDEX (state) ON n.state IN ('live', 'cordoned', 'draining')

-- name: mine
-- What the store says this node runs.
SELECT fire_at, schedule_id, shard, attempt, claimed_at, started_at, version, args, failures, take_overs, reason_code, kill_requested, shards,
       claimed_at < UTC_TIMESTAMP(6) - INTERVAL :settle MICROSECOND AS settled
FROM runs FORCE INDEX (mine) WHERE node_id = :node_id AND status = 'running'

-- name: claim
-- Open fires of one instant. Nothing is locked but the rows that are inserted; the guards are read in one snapshot.
-- rows: schedule_id, shard, version, due, run, queue, priority, delay, grace, serial, overlap, lane, shards, pinned_node_id.
INSERT INTO runs (fire_at, schedule_id, shard, status, queue, priority, ready_at, expires_at, node_id, attempt, origin, version, claimed_at, serial, serial_held,
                  lane, shards, pinned_node_id)
SELECT STRAIGHT_JOIN TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00'), j.s, j.k, IF(j.run = 1, 'running', 'queued'), j.queue, j.priority,
       TIMESTAMPADD(MICROSECOND, :fire_at + j.delay, TIMESTAMP'1970-01-01 00:00:00'),
       TIMESTAMPADD(MICROSECOND, :fire_at + j.delay + j.grace, TIMESTAMP'1970-01-01 00:00:00'),
       IF(j.run = 1, n.id, NULL), j.run, 'trigger', COALESCE(h.good_id, h.id), IF(j.run = 1, UTC_TIMESTAMP(6), NULL), j.serial, j.serial,
       j.lane, j.shards, j.pin
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$[0]', k INT PATH '$[1]', h BIGINT PATH '$[2]', d BIGINT PATH '$[3]', run INT PATH '$[4]',
                queue VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[5]', priority INT PATH '$[6]', delay BIGINT PATH '$[7]', grace BIGINT PATH '$[8]', serial VARCHAR(300) CHARACTER SET utf8mb4 PATH '$[9]',
                lane VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[11]', shards INT PATH '$[12]', pin VARCHAR(100) CHARACTER SET utf8mb4 PATH '$[13]')) j
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
-- What `claim` has left out: fires of several shards, each whole, and rows whose serial an open run wants. `why` says of those
-- that are skipped what is in their way; where it is not, and an open run is there, the row waits: SERIAL+ is the one waiter
-- of overlap wait, others wait behind each other. rows: as claim.
INSERT INTO runs (fire_at, schedule_id, shard, status, reason_code, reason, queue, priority, ready_at, expires_at, node_id, attempt, origin, version, claimed_at,
                  finished_at, serial, serial_held, lane, shards, pinned_node_id, follow)
SELECT STRAIGHT_JOIN TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00'), w.s, w.k,
       CASE WHEN w.why IS NOT NULL THEN 'skipped' WHEN w.run = 1 AND w.taken = 0 THEN 'running' ELSE 'queued' END,
       IF(w.why IS NULL, NULL, 'overlap'), w.why, w.queue, w.priority,
       TIMESTAMPADD(MICROSECOND, :fire_at + w.delay, TIMESTAMP'1970-01-01 00:00:00'),
       IF(w.why IS NULL, TIMESTAMPADD(MICROSECOND, :fire_at + w.delay + w.grace, TIMESTAMP'1970-01-01 00:00:00'), NULL),
       IF(w.run = 1 AND w.taken = 0, n.id, NULL), IF(w.run = 1 AND w.taken = 0, 1, 0), 'trigger', COALESCE(h.good_id, h.id),
       IF(w.run = 1 AND w.taken = 0, UTC_TIMESTAMP(6), NULL), IF(w.why IS NULL, NULL, UTC_TIMESTAMP(6)),
       IF(w.why IS NULL, w.serial, NULL),
       CASE WHEN w.taken = 0 THEN w.serial WHEN w.why IS NULL AND w.overlap = 'wait' THEN CONCAT(w.serial, '+') END,
       w.lane, w.shards, w.pin, IF(w.why IS NOT NULL AND EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = w.s), 1, NULL)
FROM (SELECT j.*, EXISTS (SELECT 1 FROM runs o WHERE o.serial = j.serial) AS taken,
        CASE j.overlap
            WHEN 'skip' THEN (SELECT CONCAT('the run of ', REPLACE(DATE_FORMAT(b.fire_at, '%Y-%m-%dT%H:%i:%s.%fZ'), '.000000Z', 'Z'), ' is still ', b.status)
                              FROM runs b FORCE INDEX (waiting) WHERE b.serial = j.serial ORDER BY NOT (b.serial_held <=> b.serial), b.fire_at LIMIT 1)
            WHEN 'wait' THEN (SELECT CONCAT('the run of ', REPLACE(DATE_FORMAT(b.fire_at, '%Y-%m-%dT%H:%i:%s.%fZ'), '.000000Z', 'Z'), ' waits already')
                              FROM runs b FORCE INDEX (waiting) WHERE b.serial = j.serial AND NOT (b.serial_held <=> b.serial) ORDER BY b.fire_at LIMIT 1)
            WHEN 'replace' THEN (SELECT CONCAT('the run of ', REPLACE(DATE_FORMAT(b.fire_at, '%Y-%m-%dT%H:%i:%s.%fZ'), '.000000Z', 'Z'), ' is newer')
                                 FROM runs b FORCE INDEX (waiting) WHERE b.serial = j.serial AND b.fire_at > TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') ORDER BY b.fire_at LIMIT 1) END AS why
      FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$[0]', k INT PATH '$[1]', h BIGINT PATH '$[2]', d BIGINT PATH '$[3]', run INT PATH '$[4]',
                queue VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[5]', priority INT PATH '$[6]', delay BIGINT PATH '$[7]', grace BIGINT PATH '$[8]', serial VARCHAR(300) CHARACTER SET utf8mb4 PATH '$[9]',
                overlap VARCHAR(40) CHARACTER SET utf8mb4 PATH '$[10]', lane VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[11]', shards INT PATH '$[12]', pin VARCHAR(100) CHARACTER SET utf8mb4 PATH '$[13]')) j LIMIT 100000) w
JOIN nodes n            ON n.id = :node_id AND n.state = 'live' AND n.beat_at >= UTC_TIMESTAMP(6) - INTERVAL n.lease_us MICROSECOND
JOIN schedule_history h ON h.id = w.h AND h.schedule_id = w.s AND COALESCE(h.good_id, 1) <> 0
JOIN schedule_history d ON d.id = w.d AND d.schedule_id = w.s AND d.enabled = 1
                       AND d.valid_from < TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00')
JOIN schedules s        ON s.id = w.s AND s.enabled = 1 AND s.version = h.version AND s.updated_at = h.updated_at
LEFT JOIN runs r        ON r.fire_at = TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = w.s AND r.shard = w.k
LEFT JOIN runs z        ON z.fire_at = TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') AND z.schedule_id = w.s AND z.shard = 0
WHERE r.schedule_id IS NULL AND (w.shards = 1 OR z.schedule_id IS NULL)
  AND TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') <= UTC_TIMESTAMP(6)
  AND TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') > UTC_TIMESTAMP(6) - INTERVAL :reach MICROSECOND

-- name: replace_older
-- Overlap replace, in the transaction that opened the newer runs: whatever of their serials is open and older shall end.
-- A row that was refused kills nothing: the newer run is read as it was written. rows: fire_at, schedule_id, shard.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]')) j
STRAIGHT_JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k AND r.status = 'queued' AND r.attempt = 0
STRAIGHT_JOIN runs x FORCE INDEX (waiting) ON x.serial = r.serial AND x.fire_at < r.fire_at
SET x.kill_requested = 2, x.requested_by = CONCAT('the run of ', REPLACE(DATE_FORMAT(r.fire_at, '%Y-%m-%dT%H:%i:%s.%fZ'), '.000000Z', 'Z'))
WHERE x.kill_requested = 0

-- name: claim_answer
-- What became of each row that was sent. A fire of several shards is opened whole: whoever opened its first shard opened it.
-- Gives schedule_id, shard, answer, attempt, claimed_at, version, wait. rows: as claim.
SELECT STRAIGHT_JOIN j.s AS schedule_id, j.k AS shard,
       CASE WHEN r.node_id = :node_id AND r.status = 'running' THEN 'mine'
            WHEN r.schedule_id IS NOT NULL OR (j.shards > 1 AND z.schedule_id IS NOT NULL) THEN 'other'
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
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$[0]', k INT PATH '$[1]', h BIGINT PATH '$[2]', d BIGINT PATH '$[3]', shards INT PATH '$[12]')) j
LEFT JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
LEFT JOIN runs z ON z.fire_at = TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') AND z.schedule_id = j.s AND z.shard = 0
LEFT JOIN schedules s ON s.id = j.s
LEFT JOIN schedule_history h ON h.id = j.h AND h.schedule_id = j.s AND COALESCE(h.good_id, 1) <> 0
LEFT JOIN nodes n ON n.id = :node_id AND n.state = 'live' AND n.beat_at >= UTC_TIMESTAMP(6) - INTERVAL n.lease_us MICROSECOND

-- name: pull_look
-- The head of one queue, best first: a plain read in the order of the index. late: of a catch-up; :late = 0 leaves those out.
SELECT STRAIGHT_JOIN q.fire_at, q.schedule_id, q.shard, q.attempt, q.priority, q.lane,
       q.origin = 'audit' AND q.ready_at >= q.fire_at + INTERVAL :reach MICROSECOND AS late
FROM runs q FORCE INDEX (pull) JOIN schedules s ON s.id = q.schedule_id
LEFT JOIN lanes l ON l.name = q.lane
LEFT JOIN (SELECT SUBSTRING_INDEX(h.lane_slot, ':', 1) AS lane, COUNT(*) AS held FROM runs h FORCE INDEX (lane_slot)
           WHERE h.lane_slot IS NOT NULL GROUP BY 1) f ON f.lane = q.lane
WHERE q.status = 'queued' AND q.queue = :queue AND q.ready_at <= UTC_TIMESTAMP(6) AND q.kill_requested = 0 AND q.version IS NOT NULL
  AND (q.attempt > 0 OR q.expires_at IS NULL OR q.expires_at > UTC_TIMESTAMP(6))
  AND (q.pinned_node_id IS NULL OR q.pinned_node_id = :node_id
       OR (s.route <> 'all' AND (q.attempt > 0 OR q.ready_at <= UTC_TIMESTAMP(6) - INTERVAL :pinned_away MICROSECOND)))
  AND (s.route NOT LIKE 'node:%' OR s.route = CONCAT('node:', (SELECT me.name FROM nodes me WHERE me.id = :node_id)))
  AND (s.enabled = 1 OR q.attempt > 0 OR q.origin = 'manual')
  AND NOT (q.reason_code <=> 'start_failed' AND q.node_id = :node_id
           AND q.ready_at > UTC_TIMESTAMP(6) - INTERVAL :start_failed_away MICROSECOND)
  AND NOT EXISTS (SELECT 1 FROM queues p WHERE p.name = :queue AND p.paused = 1)
  AND (q.serial IS NULL OR q.serial_held = q.serial
       OR (NOT EXISTS (SELECT 1 FROM runs b WHERE b.serial_held = q.serial)
           AND NOT EXISTS (SELECT 1 FROM runs e WHERE e.serial = q.serial AND e.fire_at < q.fire_at)))
  AND (q.lane IS NULL OR COALESCE(f.held, 0) < COALESCE(l.size, 1))
  AND (:late = 1 OR q.origin <> 'audit' OR q.ready_at < q.fire_at + INTERVAL :reach MICROSECOND)
ORDER BY q.pull_order, q.ready_at, q.fire_at, q.schedule_id, q.shard LIMIT :limit

-- name: lane_room
-- The size of lanes, and which of their slots are held. Gives name, size, lane_slot (NULL: none is). rows: names.
SELECT STRAIGHT_JOIN j.name, COALESCE(l.size, 1) AS size, h.lane_slot
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (name VARCHAR(200) CHARACTER SET utf8mb4 PATH '$')) j LEFT JOIN lanes l ON l.name = j.name
LEFT JOIN runs h FORCE INDEX (lane_slot) ON h.lane_slot IS NOT NULL AND SUBSTRING_INDEX(h.lane_slot, ':', 1) = j.name

-- name: pull
-- Take queued runs by key; what others have locked is passed over, never waited for. The shared lock that it takes on the
-- node's own row is wanted: it orders this pull and a purge of the node. 1062: a lane slot or a serial is held by now.
-- rows: fire_at, schedule_id, shard, attempt, lane_slot.
UPDATE (SELECT STRAIGHT_JOIN q.fire_at, q.schedule_id, q.shard, j.slot
        FROM JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', a INT PATH '$[3]', slot VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[4]')) j
        JOIN runs q ON q.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND q.schedule_id = j.s AND q.shard = j.k
        WHERE q.status = 'queued' AND q.attempt = j.a AND q.kill_requested = 0 AND (q.lane IS NULL OR j.slot IS NOT NULL)
        LIMIT :limit FOR UPDATE SKIP LOCKED) d
STRAIGHT_JOIN nodes n ON n.id = :node_id AND n.state = 'live' AND n.beat_at >= UTC_TIMESTAMP(6) - INTERVAL n.lease_us MICROSECOND
STRAIGHT_JOIN runs r ON r.fire_at = d.fire_at AND r.schedule_id = d.schedule_id AND r.shard = d.shard
SET r.status = 'running', r.node_id = n.id, r.attempt = r.attempt + 1, r.serial_held = r.serial, r.lane_slot = d.slot, r.started_at = NULL,
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
SET r.status      = IF(r.kill_requested <> 0 AND j.status <> 'succeeded', 'killed', IF(j.again = 1, 'queued', j.status)),
    r.ready_at    = IF(j.again = 1 AND r.kill_requested = 0, UTC_TIMESTAMP(6) + INTERVAL j.delay MICROSECOND, r.ready_at),
    r.finished_at = IF(j.again = 1 AND r.kill_requested = 0, NULL, UTC_TIMESTAMP(6)),
    r.serial_held = IF(j.again = 1 AND r.kill_requested = 0, r.serial_held, NULL),
    r.serial      = IF(j.again = 1 AND r.kill_requested = 0, r.serial, NULL),
    r.reason_code = IF(r.kill_requested <> 0 AND j.status <> 'succeeded', IF(r.kill_requested = 2, 'replaced', 'kill_requested'), j.reason_code),
    r.reason      = IF(r.kill_requested = 2 AND j.status <> 'succeeded', CONCAT('replaced by ', r.requested_by), j.reason),
    r.exit_code   = j.exit_code,
    r.result      = IF(JSON_VALID(j.result), j.result, NULL),
    r.started_at  = COALESCE(r.started_at, TIMESTAMPADD(MICROSECOND, j.started, TIMESTAMP'1970-01-01 00:00:00')),
    r.failures    = r.failures + j.failed,
    r.take_overs  = IF(j.lost = 1, r.take_overs + 1, 0),
    r.lane_slot   = NULL,
    r.follow      = IF(j.again = 1 AND r.kill_requested = 0, NULL, IF(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = r.schedule_id), 1, NULL))
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
SET r.status = j.status, r.reason_code = j.reason_code, r.reason = j.reason, r.finished_at = UTC_TIMESTAMP(6), r.serial = NULL, r.serial_held = NULL,
    r.follow = IF(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = r.schedule_id), 1, NULL)
WHERE r.status = 'queued' AND r.attempt = 0

-- name: queue_waits
-- What waits in each queue for nothing but a slot. Gives queue, runs, oldest_at, paused.
SELECT q.queue, COUNT(*) AS runs, MIN(q.ready_at) AS oldest_at, COALESCE(MAX(p.paused), 0) AS paused
FROM runs q FORCE INDEX (pull) LEFT JOIN queues p ON p.name = q.queue
WHERE q.status = 'queued' AND q.ready_at <= UTC_TIMESTAMP(6) AND q.lane IS NULL AND (q.serial IS NULL OR q.serial_held = q.serial)
GROUP BY q.queue

-- name: follow_look
-- Ended runs whose followers were not looked at, and the digest of the schedules by which to judge: one snapshot of both.
-- Without such runs one row, its fire_at NULL.
SELECT d.digest, r.fire_at, r.schedule_id, r.shard, r.attempt
FROM schedule_digest d
LEFT JOIN (SELECT w.fire_at, w.schedule_id, w.shard, w.attempt FROM runs w FORCE INDEX (wants) WHERE w.wants = 'follow' LIMIT :limit) r ON TRUE

-- name: fire_runs
-- Every run of some fires. rows: fire_at, schedule_id.
SELECT STRAIGHT_JOIN u.fire_at, u.schedule_id, u.shard, u.status, u.shards, u.reason_code
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]')) j
JOIN runs u ON u.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND u.schedule_id = j.s

-- name: followed
-- Take the marks off, but of runs that were retried and have ended again since they were looked at.
-- rows: fire_at, schedule_id, shard, attempt.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', a INT PATH '$[3]')) j
STRAIGHT_JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
SET r.follow = NULL
WHERE r.follow = 1 AND r.attempt = j.a

-- name: reopen_followers
-- Followers that were skipped because of upstreams that were retried: as new rows that the nodes have yet to dress.
-- rows: fire_at, schedule_id, shard.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]')) j
STRAIGHT_JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
SET r.status = 'queued', r.version = NULL, r.serial = NULL, r.serial_held = NULL, r.ready_at = UTC_TIMESTAMP(6), r.expires_at = NULL, r.finished_at = NULL,
    r.reason_code = NULL, r.reason = NULL, r.follow = NULL, r.pinned_node_id = NULL
WHERE r.status = 'skipped' AND r.reason_code = 'upstream'

-- name: upstream_runs
-- The runs of one instant that a schedule follows, called as they were called then.
SELECT STRAIGHT_JOIN u.fire_at, u.schedule_id, u.shard, u.shards, u.status, u.exit_code, u.result,
       COALESCE(JSON_UNQUOTE(JSON_EXTRACT(h.definition, '$.name')), s.name, CONCAT('#', u.schedule_id)) AS schedule
FROM schedule_after e FORCE INDEX (back)
JOIN runs u ON u.fire_at = TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') AND u.schedule_id = e.upstream_id
LEFT JOIN schedule_history h ON h.id = u.version LEFT JOIN schedules s ON s.id = u.schedule_id
WHERE e.follower_id = :schedule_id
ORDER BY u.schedule_id, u.shard

-- name: edges
-- Who follows whom, as the store has it.
SELECT upstream_id, follower_id FROM schedule_after

-- name: auditor_term
-- A row if this node leads under that term, which then stays until the end of the transaction.
SELECT 1 AS present FROM roles WHERE name = 'auditor' AND holder = :node_id AND term = :term FOR UPDATE

-- name: add_edges
-- From here on every end of an upstream is marked. rows: upstream_id, follower_id.
INSERT INTO schedule_after (upstream_id, follower_id)
SELECT STRAIGHT_JOIN j.u, j.f FROM JSON_TABLE(:rows, '$[*]' COLUMNS (u BIGINT PATH '$[0]', f BIGINT PATH '$[1]')) j

-- name: remove_edges
-- These follow no more. rows: upstream_id, follower_id.
DELETE e FROM JSON_TABLE(:rows, '$[*]' COLUMNS (u BIGINT PATH '$[0]', f BIGINT PATH '$[1]')) j
STRAIGHT_JOIN schedule_after e ON e.upstream_id = j.u AND e.follower_id = j.f

-- name: mark_followed
-- After add_edges, in its transaction: what ended before the edge was there. Who else may be ending such a run now: any node.
-- Either it holds the run's lock, and is waited for, or it reads the edge (`finish` reads with a lock, too). A join, because
-- an update of a single table would pass over rows that are locked and not ended yet. One edge: the index bounds what is locked.
UPDATE (SELECT 1 AS one) t
STRAIGHT_JOIN runs r FORCE INDEX (of_schedule) ON r.schedule_id = :upstream_id AND r.fire_at > TIMESTAMPADD(MICROSECOND, :since, TIMESTAMP'1970-01-01 00:00:00')
SET r.follow = 1
WHERE r.status NOT IN ('queued', 'running') AND r.follow IS NULL

-- name: clear_follow_problems
-- Take back that schedules cannot follow, but for those that still cannot, for the same reason. What is wrong with a row by
-- itself is on its newest version, and stays. rows: schedule_id, version, problem.
DELETE p FROM schedule_problems p
LEFT JOIN JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$[0]', problem TEXT CHARACTER SET utf8mb4 PATH '$[2]')) j ON j.s = p.schedule_id AND j.problem = p.problem
STRAIGHT_JOIN schedule_history h ON h.id = (SELECT MAX(x.id) FROM schedule_history x WHERE x.schedule_id = p.schedule_id)
WHERE j.s IS NULL AND (h.problem IS NULL OR h.deleted = 1)

-- name: put_follow_problems
-- Say of schedules whose rows are usable by themselves why they cannot follow: nothing of them runs meanwhile.
-- rows: as clear_follow_problems.
INSERT INTO schedule_problems (schedule_id, version, problem, good_id, noticed_at)
SELECT STRAIGHT_JOIN j.s, h.id, j.problem, 0, UTC_TIMESTAMP(6)
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$[0]', h BIGINT PATH '$[1]', problem TEXT CHARACTER SET utf8mb4 PATH '$[2]')) j
JOIN schedule_history h ON h.id = j.h AND h.schedule_id = j.s AND h.problem IS NULL
ON DUPLICATE KEY UPDATE version = VALUES(version)

-- name: last_ends
-- Whether schedules have open runs, and when the last of their fifty newest runs ended: no fire of their own before its
-- instant, or it would give its own instant again when the clock was set back. Gives schedule_id, open, finished_at. rows: ids.
SELECT STRAIGHT_JOIN j.s AS schedule_id, o.schedule_id IS NOT NULL AS open,
       (SELECT MAX(IF(x.origin = 'after', GREATEST(x.finished_at, x.fire_at), x.finished_at)) FROM runs x FORCE INDEX (of_schedule)
        WHERE x.schedule_id = j.s AND x.status NOT IN ('queued', 'running')
          AND x.fire_at >= COALESCE((SELECT y.fire_at FROM runs y FORCE INDEX (of_schedule) WHERE y.schedule_id = j.s
                                     ORDER BY y.fire_at DESC LIMIT 1 OFFSET 49), TIMESTAMP'1970-01-01 00:00:00')) AS finished_at
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (s BIGINT PATH '$')) j
LEFT JOIN (SELECT DISTINCT c.schedule_id FROM runs c FORCE INDEX (pull) WHERE c.status IN ('queued', 'running')) o ON o.schedule_id = j.s

-- name: join
-- A node's first beat. 1062: a present node has its name.
INSERT INTO nodes (id, name, state, host, address, pid, beat_seq, beat_s, slots, queues, roles, version, tzdata, boot_id, pid_namespace, process_start, czxid)
VALUES (:id, :node_name, :state, :host, :address, :pid, 1, :beat_s, :slots, :queues, :roles, :version, :tzdata, :boot_id, :pid_namespace, :process_start, :czxid)

-- name: beat
-- Say that this node lives.
UPDATE nodes SET beat_at = UTC_TIMESTAMP(6), beat_seq = beat_seq + 1, running = :running, cpu_pct = :cpu_pct, memory_bytes = :memory_bytes,
       clock_offset_ms = :clock_offset_ms, digest = :digest, slots = COALESCE(:slots, slots), beat_s = COALESCE(:beat_s, beat_s)
WHERE id = :node_id AND state IN ('live', 'cordoned', 'draining')

-- name: set_state
-- Cordon, drain, resume or end a present node.
UPDATE nodes SET state = :state WHERE id = :node_id AND state IN ('live', 'cordoned', 'draining')

-- name: node_named
-- The present node of a name: what poll says of it, and its facts.
SELECT n.id, n.name, n.state, n.beat_seq, n.beat_at, n.beat_s, n.slots, n.queues, n.roles, n.czxid,
       n.beat_at < UTC_TIMESTAMP(6) - INTERVAL n.lease_us MICROSECOND AS stale,
       n.host, n.address, n.pid, n.boot_id, n.pid_namespace, n.process_start, n.version, n.tzdata
FROM nodes n WHERE n.live_name = :node_name

-- name: purge
-- Only a flip, on an unchanged beat counter; taking back the node's runs is another statement, repeated by all.
UPDATE nodes SET state = 'purged' WHERE id = :node_id AND state IN ('live', 'cordoned', 'draining') AND beat_seq = :beat_seq
  AND (:watched = 0 OR beat_at < UTC_TIMESTAMP(6) - INTERVAL lease_us MICROSECOND)

-- name: orphans
-- Running rows of nodes that are gone, however they came to be. Gives fire_at, schedule_id, shard, attempt, node_id, take_overs, started, on_node_loss, route.
SELECT STRAIGHT_JOIN r.fire_at, r.schedule_id, r.shard, r.attempt, r.node_id, r.take_overs, r.started_at IS NOT NULL AS started,
       COALESCE(JSON_UNQUOTE(JSON_EXTRACT(h.definition, '$.on_node_loss')), 'rerun') AS on_node_loss,
       COALESCE(JSON_UNQUOTE(JSON_EXTRACT(h.definition, '$.route')), 'sticky') AS route
FROM nodes n FORCE INDEX (state) JOIN runs r FORCE INDEX (mine) ON r.node_id = n.id AND r.status = 'running'
LEFT JOIN schedule_history h ON h.id = r.version
WHERE n.state IN ('purged', 'left') LIMIT :limit

-- name: all_orphans
-- The same, and running rows whose node has no row at all. Gives the same columns.
SELECT STRAIGHT_JOIN r.fire_at, r.schedule_id, r.shard, r.attempt, COALESCE(r.node_id, '') AS node_id, r.take_overs, r.started_at IS NOT NULL AS started,
       COALESCE(JSON_UNQUOTE(JSON_EXTRACT(h.definition, '$.on_node_loss')), 'rerun') AS on_node_loss,
       COALESCE(JSON_UNQUOTE(JSON_EXTRACT(h.definition, '$.route')), 'sticky') AS route
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
-- Put orphans back into the queue, or close them; node_lost even where a kill was asked for: `finish_answer` tells by it that
-- the attempt did not end by itself. rows: as reclaim_attempts.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', a INT PATH '$[3]', n VARCHAR(100) CHARACTER SET utf8mb4 PATH '$[4]',
                again INT PATH '$[5]', reason VARCHAR(2000) CHARACTER SET utf8mb4 PATH '$[6]')) j
STRAIGHT_JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
SET r.status      = IF(r.kill_requested <> 0, 'killed', IF(j.again = 1, 'queued', 'lost')),
    r.ready_at    = IF(j.again = 1 AND r.kill_requested = 0, UTC_TIMESTAMP(6), r.ready_at),
    r.finished_at = IF(j.again = 1 AND r.kill_requested = 0, NULL, UTC_TIMESTAMP(6)),
    r.serial_held = IF(j.again = 1 AND r.kill_requested = 0, r.serial_held, NULL),
    r.serial      = IF(j.again = 1 AND r.kill_requested = 0, r.serial, NULL),
    r.follow      = IF(j.again = 1 AND r.kill_requested = 0, NULL, IF(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = r.schedule_id), 1, NULL)),
    r.take_overs  = r.take_overs + 1, r.lane_slot = NULL, r.reason_code = 'node_lost', r.reason = j.reason
WHERE r.status = 'running' AND COALESCE(r.node_id, '') = j.n AND r.attempt = j.a

-- name: undressed
-- Queued rows that were put in by hand or by a command, and lack their version. Not before they are ready: dressed, they
-- would hold their serial, and everything that is due until then would be skipped for them.
SELECT fire_at, schedule_id, shard FROM runs FORCE INDEX (wants) WHERE wants = 'dress' AND ready_at <= UTC_TIMESTAMP(6) LIMIT :limit

-- name: fan_out
-- The other shards of a row put in by hand, like it and as undressed as it is. 1062: another node was first. rows: shards.
INSERT INTO runs (fire_at, schedule_id, shard, ready_at, origin, args, requested_by, priority, queue)
SELECT STRAIGHT_JOIN r.fire_at, r.schedule_id, j.k, r.ready_at, r.origin, r.args, r.requested_by, r.priority, r.queue
FROM JSON_TABLE(:rows, '$[*]' COLUMNS (k INT PATH '$')) j
JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = :schedule_id AND r.shard = 0
LEFT JOIN runs z FORCE INDEX (PRIMARY) ON z.fire_at = TIMESTAMPADD(MICROSECOND, :fire_at, TIMESTAMP'1970-01-01 00:00:00') AND z.schedule_id = :schedule_id AND z.shard = j.k
WHERE r.status = 'queued' AND r.version IS NULL AND z.schedule_id IS NULL

-- name: holder
-- Which run holds a serial.
SELECT fire_at, schedule_id, shard FROM runs WHERE serial_held = :serial

-- name: dress
-- Give such rows what their schedules say, before any node may pull them. 1062: another run holds the serial.
-- rows: fire_at, schedule_id, shard, version, queue, priority, serial, waits, lane, shards, pinned_node_id.
UPDATE JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', v BIGINT PATH '$[3]', queue VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[4]',
                priority INT PATH '$[5]', serial VARCHAR(300) CHARACTER SET utf8mb4 PATH '$[6]', waits INT PATH '$[7]', lane VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[8]', shards INT PATH '$[9]',
                pin VARCHAR(100) CHARACTER SET utf8mb4 PATH '$[10]')) j
STRAIGHT_JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = j.s AND r.shard = j.k
SET r.version = j.v, r.queue = j.queue, r.priority = j.priority, r.serial = j.serial, r.serial_held = IF(j.waits = 1, NULL, j.serial), r.lane = j.lane,
    r.shards = j.shards, r.pinned_node_id = j.pin
WHERE r.status = 'queued' AND r.version IS NULL

-- name: close_killed
-- Nobody owns a queued run, so that nobody else would end it. One that was replaced before it began was never stopped: skipped.
UPDATE runs FORCE INDEX (wants)
SET status = IF(kill_requested = 2 AND attempt = 0, 'skipped', 'killed'), reason_code = IF(kill_requested = 2, 'replaced', 'kill_requested'),
    reason = IF(kill_requested = 2, CONCAT('replaced by ', COALESCE(requested_by, 'a later run')), 'killed while it was queued'),
    finished_at = UTC_TIMESTAMP(6), serial = NULL, serial_held = NULL, follow = IF(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = runs.schedule_id), 1, NULL)
WHERE wants = 'kill' LIMIT :limit

-- name: close_pinned
-- Queued runs for one node alone that is gone; ids never come back.
UPDATE runs FORCE INDEX (wants)
SET status = IF(attempt = 0, 'missed', 'lost'), reason_code = IF(attempt = 0, 'no_node', 'node_lost'),
    reason = CONCAT('it was for one node alone, which is gone: ', pinned_node_id),
    finished_at = UTC_TIMESTAMP(6), serial = NULL, serial_held = NULL, follow = IF(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = runs.schedule_id), 1, NULL)
WHERE wants = 'pin' AND EXISTS (SELECT 1 FROM schedules s WHERE s.id = runs.schedule_id AND s.route = 'all')
  AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = runs.pinned_node_id AND n.state NOT IN ('purged', 'left')) LIMIT :limit

-- name: close_deleted
-- Queued runs of schedules that are gone.
UPDATE runs FORCE INDEX (pull) SET status = 'killed', reason_code = 'schedule_deleted', reason = 'its schedule was deleted', finished_at = UTC_TIMESTAMP(6),
       serial = NULL, serial_held = NULL, follow = IF(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = runs.schedule_id), 1, NULL)
WHERE status = 'queued' AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.id = runs.schedule_id) LIMIT :limit

-- name: expire
-- Queued runs that never started, and may not any more.
UPDATE runs FORCE INDEX (wants) SET status = 'missed', reason_code = 'no_slot', reason = 'no node with a free slot took it in time', finished_at = UTC_TIMESTAMP(6),
       serial = NULL, serial_held = NULL, follow = IF(EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = runs.schedule_id), 1, NULL)
WHERE wants IN ('wait', 'pin') AND attempt = 0 AND expires_at < UTC_TIMESTAMP(6) LIMIT :limit

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

-- name: catch_up_until
-- Until when the audit has spread what is queued.
SELECT MAX(q.ready_at) AS ready_at FROM runs q FORCE INDEX (pull) WHERE q.status = 'queued' AND q.origin = 'audit'

-- name: open_rows
-- Write rows of fires that nobody has claimed, where the schedule still is what it was judged by (version NULL: gone): the audit's
-- under the auditor's term, followers' by a node that is live (term NULL). `why` and `taken` as in claim_rest. At most one row
-- per serial in one statement; a fire of several shards whole.
-- rows: fire_at, schedule_id, shard, version, status, reason_code, reason, queue, priority, delay, grace, serial, overlap, until, missed_count, lane, shards, pinned_node_id.
INSERT INTO runs (fire_at, schedule_id, shard, status, reason_code, reason, queue, priority, ready_at, expires_at, origin, version, finished_at,
                  until, missed_count, serial, serial_held, lane, shards, pinned_node_id, follow)
SELECT STRAIGHT_JOIN TIMESTAMPADD(MICROSECOND, w.f, TIMESTAMP'1970-01-01 00:00:00'), w.s, w.k,
       IF(w.why IS NULL, w.status, 'skipped'), IF(w.why IS NULL, w.reason_code, 'overlap'), COALESCE(w.why, w.reason),
       w.queue, w.priority, UTC_TIMESTAMP(6) + INTERVAL w.delay MICROSECOND, UTC_TIMESTAMP(6) + INTERVAL w.delay + w.grace MICROSECOND, :origin,
       COALESCE(h.good_id, h.id, (SELECT MAX(x.id) FROM schedule_history x WHERE x.schedule_id = w.s)), IF(w.open = 1, NULL, UTC_TIMESTAMP(6)), TIMESTAMPADD(MICROSECOND, w.until, TIMESTAMP'1970-01-01 00:00:00'), w.missed_count,
       IF(w.open = 1, w.serial, NULL),
       CASE WHEN w.open = 1 AND w.taken = 0 THEN w.serial WHEN w.open = 1 AND w.overlap = 'wait' THEN CONCAT(w.serial, '+') END,
       w.lane, w.shards, w.pin, IF(w.open = 0 AND EXISTS (SELECT 1 FROM schedule_after e WHERE e.upstream_id = w.s), 1, NULL)
FROM (SELECT v.*, v.status = 'queued' AND v.why IS NULL AS open
      FROM (SELECT j.*, EXISTS (SELECT 1 FROM runs o WHERE o.serial = j.serial) AS taken,
        CASE WHEN j.status = 'queued' THEN CASE j.overlap
            WHEN 'skip' THEN (SELECT CONCAT('the run of ', REPLACE(DATE_FORMAT(b.fire_at, '%Y-%m-%dT%H:%i:%s.%fZ'), '.000000Z', 'Z'), ' is still ', b.status)
                              FROM runs b FORCE INDEX (waiting) WHERE b.serial = j.serial ORDER BY NOT (b.serial_held <=> b.serial), b.fire_at LIMIT 1)
            WHEN 'wait' THEN (SELECT CONCAT('the run of ', REPLACE(DATE_FORMAT(b.fire_at, '%Y-%m-%dT%H:%i:%s.%fZ'), '.000000Z', 'Z'), ' waits already')
                              FROM runs b FORCE INDEX (waiting) WHERE b.serial = j.serial AND NOT (b.serial_held <=> b.serial) ORDER BY b.fire_at LIMIT 1)
            WHEN 'replace' THEN (SELECT CONCAT('the run of ', REPLACE(DATE_FORMAT(b.fire_at, '%Y-%m-%dT%H:%i:%s.%fZ'), '.000000Z', 'Z'), ' is newer')
                                 FROM runs b FORCE INDEX (waiting) WHERE b.serial = j.serial AND b.fire_at > TIMESTAMPADD(MICROSECOND, j.f, TIMESTAMP'1970-01-01 00:00:00') ORDER BY b.fire_at LIMIT 1) END END AS why
      FROM JSON_TABLE(:rows, '$[*]' COLUMNS (f BIGINT PATH '$[0]', s BIGINT PATH '$[1]', k INT PATH '$[2]', h BIGINT PATH '$[3]', status VARCHAR(40) CHARACTER SET utf8mb4 PATH '$[4]',
                reason_code VARCHAR(80) CHARACTER SET utf8mb4 PATH '$[5]', reason VARCHAR(2000) CHARACTER SET utf8mb4 PATH '$[6]', queue VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[7]', priority INT PATH '$[8]',
                delay BIGINT PATH '$[9]', grace BIGINT PATH '$[10]', serial VARCHAR(300) CHARACTER SET utf8mb4 PATH '$[11]', overlap VARCHAR(40) CHARACTER SET utf8mb4 PATH '$[12]',
                until BIGINT PATH '$[13]', missed_count INT PATH '$[14]', lane VARCHAR(200) CHARACTER SET utf8mb4 PATH '$[15]', shards INT PATH '$[16]',
                pin VARCHAR(100) CHARACTER SET utf8mb4 PATH '$[17]')) j LIMIT 100000) v) w
LEFT JOIN schedule_history h ON h.id = w.h AND h.schedule_id = w.s
LEFT JOIN schedules s ON s.id = w.s
LEFT JOIN runs r ON r.fire_at = TIMESTAMPADD(MICROSECOND, w.f, TIMESTAMP'1970-01-01 00:00:00') AND r.schedule_id = w.s AND r.shard = w.k
LEFT JOIN runs z ON z.fire_at = TIMESTAMPADD(MICROSECOND, w.f, TIMESTAMP'1970-01-01 00:00:00') AND z.schedule_id = w.s AND z.shard = 0
WHERE r.schedule_id IS NULL AND (w.shards = 1 OR z.schedule_id IS NULL)
  AND IF(:term IS NULL, EXISTS (SELECT 1 FROM nodes n WHERE n.id = :node_id AND n.state = 'live'
                                AND n.beat_at >= UTC_TIMESTAMP(6) - INTERVAL n.lease_us MICROSECOND),
         EXISTS (SELECT 1 FROM roles a WHERE a.name = 'auditor' AND a.holder = :node_id AND a.term = :term))
  AND ((w.h IS NULL AND s.id IS NULL) OR (s.version = h.version AND s.updated_at = h.updated_at))
  AND (w.status <> 'queued' OR COALESCE(h.good_id, 1) <> 0)
  AND (:term IS NULL OR TIMESTAMPADD(MICROSECOND, w.f, TIMESTAMP'1970-01-01 00:00:00') <= UTC_TIMESTAMP(6) - INTERVAL :lag MICROSECOND)

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
