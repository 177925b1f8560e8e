-- Leasebeat's tables on MySQL 8.0.19+ and MariaDB 10.6+: the single source.
--
-- Applied by `python scheduler.py init`, or by hand: mysql leasebeat < schema.sql
-- Applying it twice does no harm. Accounts and rights: deploy/grants.sql.
--
-- Times are UTC. Columns that people may set through a session of any time zone (created_at,
-- updated_at) are TIMESTAMP; all others are DATETIME and default to UTC_TIMESTAMP.
-- schema_info gets its row last: while it has none, this file was not applied to its end.

CREATE TABLE IF NOT EXISTS schema_info (
  id           TINYINT NOT NULL DEFAULT 1 PRIMARY KEY COMMENT 'there is one row',
  version      INT NOT NULL COMMENT 'of these tables',
  min_worker   VARCHAR(40) NOT NULL COMMENT 'the oldest Leasebeat that may use them',
  installation VARCHAR(40) NOT NULL COMMENT 'made at random once; Redis keys begin with it',
  coordinator  VARCHAR(16) NOT NULL DEFAULT 'store' COMMENT 'store, zookeeper: the same for all nodes',
  created_at   TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'when init made it',
  CONSTRAINT schema_info_one CHECK (id = 1),
  CONSTRAINT schema_info_coordinator CHECK (coordinator IN ('store', 'zookeeper'))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='what this store is';

CREATE TABLE IF NOT EXISTS schedules (
  id              BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY COMMENT 'never used again after a deletion',
  name            VARCHAR(128) NOT NULL COMMENT '1-128 letters or digits of any script and . _ / -',
  description     VARCHAR(1000) NOT NULL DEFAULT '' COMMENT 'for people',
  owner           VARCHAR(190) NOT NULL DEFAULT '' COMMENT 'who is asked when it fails',
  cron            VARCHAR(500) NOT NULL COMMENT '0 3 * * *, @hourly, @every 90s, @at 2026-12-24T18:00:00+01:00, @manual, ...',
  command         TEXT NOT NULL COMMENT 'by kind: a shell line, package.module:function, a URL, a publish target',
  kind            VARCHAR(16) NOT NULL DEFAULT 'shell' COMMENT 'shell, python, http, publish',
  args            JSON NULL COMMENT 'JSON object; keys by kind: env, cwd, stdin, kwargs, method, headers, body, success_codes, ...',
  timezone        VARCHAR(64) NOT NULL DEFAULT 'UTC' COMMENT 'IANA name in which cron is read',
  enabled         TINYINT(1) NOT NULL DEFAULT 1 COMMENT '0 pauses',
  starts_at       DATETIME(6) NULL COMMENT 'UTC; nothing is due before it',
  ends_at         DATETIME(6) NULL COMMENT 'UTC; nothing is due after it',
  calendar        VARCHAR(64) NULL COMMENT 'name in calendars: dates left out or added',
  dst             VARCHAR(8) NOT NULL DEFAULT 'cron' COMMENT 'what a clock change does to it: cron, skip, both',
  jitter_s        DOUBLE NOT NULL DEFAULT 0 COMMENT 'seconds; delays the start by a hash of the name, never changes the instant',
  queue           VARCHAR(64) NOT NULL DEFAULT 'default' COMMENT 'which nodes may run it',
  priority        INT NOT NULL DEFAULT 0 COMMENT 'a higher one is pulled first',
  route           VARCHAR(140) NOT NULL DEFAULT 'sticky' COMMENT 'sticky, spread, any, all, node:NAME',
  shards          INT NOT NULL DEFAULT 1 COMMENT 'how many runs a fire has',
  shard_args      JSON NULL COMMENT 'JSON list of parameters, one per shard',
  overlap         VARCHAR(8) NOT NULL DEFAULT 'skip' COMMENT 'while an earlier run is open: skip, wait, replace, allow',
  lane            VARCHAR(64) NULL COMMENT 'name in lanes: at most its size run at once, across schedules',
  misfire         VARCHAR(8) NOT NULL DEFAULT 'once' COMMENT 'instants found late: once (the latest), all, skip',
  misfire_grace_s DOUBLE NOT NULL DEFAULT 3600 COMMENT 'seconds after which a start is too late; at most ten years',
  timeout_s       DOUBLE NULL COMMENT 'seconds for an attempt; NULL: 86400, or 60 for http and publish; 0: none',
  retries         INT NOT NULL DEFAULT 0 COMMENT 'after a failure; -1: until it succeeds',
  retry_delay_s   DOUBLE NOT NULL DEFAULT 10 COMMENT 'seconds before the first retry',
  retry_backoff   DOUBLE NOT NULL DEFAULT 2 COMMENT 'factor from retry to retry; never more than 3600 s',
  on_node_loss    VARCHAR(8) NOT NULL DEFAULT 'rerun' COMMENT 'rerun, fail (killed, lost), finish (left to end)',
  after           JSON NULL COMMENT 'JSON list of the names of schedules that must have ended for the same instant',
  after_rule      VARCHAR(8) NOT NULL DEFAULT 'success' COMMENT 'success, done, failure',
  run_as          VARCHAR(64) NULL COMMENT 'user; bounded by [node] allow_users',
  alert           JSON NULL COMMENT 'JSON; NULL: as [alerts] says',
  version         CHAR(32) CHARACTER SET ascii COLLATE ascii_bin AS (MD5(JSON_ARRAY(name, description, owner, cron,
                    command, kind, args, timezone, enabled, starts_at, ends_at, calendar, dst, jitter_s, queue, priority,
                    route, shards, shard_args, overlap, lane, misfire, misfire_grace_s, timeout_s, retries,
                    retry_delay_s, retry_backoff, on_node_loss, after, after_rule, run_as, alert))) STORED
                    COMMENT 'what the row says, whoever edited it and however: no editor can leave it behind',
  created_at      TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'written by the server',
  updated_at      TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6) COMMENT 'written by the server',
  UNIQUE KEY name (name),
  KEY digest (version, updated_at) COMMENT 'the look for edits reads only this',
  CONSTRAINT schedule_name CHECK (name REGEXP '^[\\p{L}\\p{M}\\p{N}._/-]{1,128}\\z'),
  CONSTRAINT schedule_cron CHECK (cron <> ''),
  CONSTRAINT schedule_command CHECK (command <> ''),
  CONSTRAINT schedule_kind CHECK (kind IN ('shell', 'python', 'http', 'publish')),
  CONSTRAINT schedule_args CHECK (args IS NULL OR JSON_TYPE(args) = 'OBJECT'),
  CONSTRAINT schedule_timezone CHECK (timezone <> ''),
  CONSTRAINT schedule_enabled CHECK (enabled IN (0, 1)),
  CONSTRAINT schedule_starts_at CHECK (starts_at IS NULL OR starts_at >= '1970-01-01'),
  CONSTRAINT schedule_ends_at CHECK (ends_at IS NULL OR ends_at >= '1970-01-01'),
  CONSTRAINT schedule_window CHECK (starts_at IS NULL OR ends_at IS NULL OR starts_at <= ends_at),
  CONSTRAINT schedule_dst CHECK (dst IN ('cron', 'skip', 'both')),
  CONSTRAINT schedule_jitter_s CHECK (jitter_s BETWEEN 0 AND 86400),
  CONSTRAINT schedule_queue CHECK (queue REGEXP '^[A-Za-z0-9._/-]{1,64}\\z'),
  CONSTRAINT schedule_priority CHECK (priority BETWEEN -1000000 AND 1000000),
  CONSTRAINT schedule_route CHECK (route IN ('sticky', 'spread', 'any', 'all') OR route LIKE 'node:_%'),
  CONSTRAINT schedule_shards CHECK (shards BETWEEN 1 AND 10000),
  CONSTRAINT schedule_shard_args CHECK (shard_args IS NULL OR JSON_TYPE(shard_args) = 'ARRAY'),
  CONSTRAINT schedule_overlap CHECK (overlap IN ('skip', 'wait', 'replace', 'allow')),
  CONSTRAINT schedule_misfire CHECK (misfire IN ('once', 'all', 'skip')),
  CONSTRAINT schedule_misfire_grace_s CHECK (misfire_grace_s BETWEEN 0 AND 315360000),
  CONSTRAINT schedule_timeout_s CHECK (timeout_s IS NULL OR timeout_s BETWEEN 0 AND 315360000),
  CONSTRAINT schedule_retries CHECK (retries >= -1),
  CONSTRAINT schedule_retry_delay_s CHECK (retry_delay_s BETWEEN 0 AND 315360000),
  CONSTRAINT schedule_retry_backoff CHECK (retry_backoff BETWEEN 1 AND 100),
  CONSTRAINT schedule_on_node_loss CHECK (on_node_loss IN ('rerun', 'fail', 'finish')),
  CONSTRAINT schedule_after_list CHECK (after IS NULL OR JSON_TYPE(after) = 'ARRAY'),
  CONSTRAINT schedule_after_rule CHECK (after_rule IN ('success', 'done', 'failure')),
  CONSTRAINT schedule_alert CHECK (alert IS NULL OR JSON_TYPE(alert) = 'OBJECT'),
  CONSTRAINT schedule_updated_at CHECK (YEAR(updated_at) > 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='what to run and when: the table that people edit';

CREATE TABLE IF NOT EXISTS runs (
  fire_at         DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC; the instant that was due, whenever it really began',
  schedule_id     BIGINT NOT NULL COMMENT 'schedules.id',
  shard           INT NOT NULL DEFAULT 0 COMMENT 'which part of the fire, from 0',
  status          VARCHAR(10) NOT NULL DEFAULT 'queued' COMMENT 'queued, running, succeeded, failed, timed_out, killed, lost, skipped, missed',
  reason_code     VARCHAR(20) NULL COMMENT 'one word, why',
  reason          VARCHAR(1000) NULL COMMENT 'a sentence, why',
  queue           VARCHAR(64) NOT NULL DEFAULT 'default' COMMENT 'which nodes may run it',
  priority        INT NOT NULL DEFAULT 0 COMMENT 'a higher one is pulled first',
  pull_order      INT AS (-priority) STORED COMMENT 'so that an ascending index has the highest priority first',
  ready_at        DATETIME(6) NOT NULL DEFAULT (fire_at) COMMENT 'UTC; not before it: jitter, retries, catch-up',
  expires_at      DATETIME(6) NULL COMMENT 'UTC; not started by then: missed. NULL: never',
  node_id         VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'who holds it, or held it last',
  attempt         INT NOT NULL DEFAULT 0 COMMENT 'how often it was given to a node; (run, attempt) is the lease',
  failures        INT NOT NULL DEFAULT 0 COMMENT 'attempts that failed: what retries are counted by',
  take_overs      INT NOT NULL DEFAULT 0 COMMENT 'attempts in a row that ended without an outcome',
  pinned_node_id  VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'the only node that may run it',
  origin          VARCHAR(8) NOT NULL DEFAULT 'manual' COMMENT 'trigger, audit, manual, after, backfill',
  version         BIGINT NULL COMMENT 'schedule_history.id whose definition it runs; NULL: not dressed yet',
  args            JSON NULL COMMENT 'JSON object over the args of the schedule, for this run',
  requested_by    VARCHAR(190) NULL COMMENT 'who asked for it, or for the last change',
  claimed_at      DATETIME(6) NULL COMMENT 'UTC; when the last attempt was given out: its microseconds are the fence',
  started_at      DATETIME(6) NULL COMMENT 'UTC; when the last attempt began',
  finished_at     DATETIME(6) NULL COMMENT 'UTC; when the run ended',
  exit_code       INT NULL COMMENT 'exit status or HTTP status of the last attempt',
  result          JSON NULL COMMENT 'what the task handed on, at most 64 KiB',
  until           DATETIME(6) NULL COMMENT 'UTC; missed only: the row stands for all instants from fire_at to here',
  missed_count    INT NULL COMMENT 'missed only: how many those are',
  shards          INT NOT NULL DEFAULT 1 COMMENT 'how many runs its fire has',
  kill_requested  TINYINT(1) NOT NULL DEFAULT 0 COMMENT '1: somebody wants it stopped; 2: a later fire takes its place (overlap replace)',
  serial          VARCHAR(190) NULL COMMENT 'what must be held while it is open (overlap); NULL once it has ended',
  serial_held     VARCHAR(191) NULL COMMENT '= serial while it holds it; SERIAL+: the one that waits for it (overlap wait)',
  lane            VARCHAR(64) NULL COMMENT 'lanes.name',
  lane_slot       VARCHAR(80) NULL COMMENT 'LANE:k, held while running',
  follow          TINYINT NULL COMMENT '1: ended, and what hangs on it was not looked at yet',
  wants           VARCHAR(6) CHARACTER SET ascii COLLATE ascii_bin AS (CASE WHEN follow = 1 THEN 'follow' WHEN status <> 'queued' THEN NULL
                    WHEN kill_requested <> 0 THEN 'kill' WHEN version IS NULL THEN 'dress' WHEN pinned_node_id IS NOT NULL THEN 'pin'
                    WHEN attempt = 0 THEN 'wait' END) STORED
                    COMMENT 'which sweep may have to look at it: follow, kill, dress, pin (its node), or wait (until expires_at)',
  PRIMARY KEY (fire_at, schedule_id, shard) COMMENT 'the judge: one row per fire and shard; begins with the time for retention',
  UNIQUE KEY serial_held (serial_held) COMMENT 'no two runs of one serial at once',
  UNIQUE KEY lane_slot (lane_slot) COMMENT 'no more runs in a lane than it has slots',
  KEY pull (status, queue, pull_order, ready_at) COMMENT 'the head of a queue, without sorting',
  KEY mine (node_id, status) COMMENT 'what a node runs',
  KEY waiting (serial, fire_at) COMMENT 'open runs of one serial, oldest first',
  KEY of_schedule (schedule_id, fire_at) COMMENT 'the runs of one schedule',
  KEY wants (wants, expires_at) COMMENT 'the sweeps find their rows without looking at the queue',
  CONSTRAINT run_fire_at CHECK (fire_at >= '1970-01-01'),
  CONSTRAINT run_ready_at CHECK (ready_at >= '1970-01-01'),
  CONSTRAINT run_status CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'timed_out', 'killed', 'lost', 'skipped', 'missed')),
  CONSTRAINT run_origin CHECK (origin IN ('trigger', 'audit', 'manual', 'after', 'backfill')),
  CONSTRAINT run_shard CHECK (shard >= 0),
  CONSTRAINT run_shards CHECK (shards >= 1),
  CONSTRAINT run_args CHECK (args IS NULL OR JSON_TYPE(args) = 'OBJECT'),
  CONSTRAINT run_kill_requested CHECK (kill_requested IN (0, 1, 2))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='what became of each fire';

CREATE TABLE IF NOT EXISTS attempts (
  fire_at     DATETIME(6) NOT NULL COMMENT 'runs.fire_at',
  schedule_id BIGINT NOT NULL COMMENT 'runs.schedule_id',
  shard       INT NOT NULL COMMENT 'runs.shard',
  attempt     INT NOT NULL COMMENT 'from 1',
  node_id     VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'who ran it',
  outcome     VARCHAR(12) NOT NULL COMMENT 'a status, or superseded: it ended after its lease was taken over',
  exit_code   INT NULL COMMENT 'exit status or HTTP status',
  reason_code VARCHAR(20) NULL COMMENT 'one word, why',
  reason      VARCHAR(1000) NULL COMMENT 'a sentence, why',
  claimed_at  DATETIME(6) NULL COMMENT 'UTC; its fence',
  started_at  DATETIME(6) NULL COMMENT 'UTC',
  ended_at    DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
  PRIMARY KEY (fire_at, schedule_id, shard, attempt)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='tries at a run that were not its last; attempt_list has the last too';

CREATE TABLE IF NOT EXISTS outputs (
  fire_at      DATETIME(6) NOT NULL COMMENT 'runs.fire_at',
  schedule_id  BIGINT NOT NULL COMMENT 'runs.schedule_id',
  shard        INT NOT NULL COMMENT 'runs.shard',
  attempt      INT NOT NULL COMMENT 'attempts.attempt',
  succeeded    TINYINT(1) NOT NULL COMMENT '1: of a success, and sooner removed',
  output       MEDIUMBLOB NOT NULL COMMENT 'the end of what it printed, as bytes',
  output_bytes BIGINT NOT NULL COMMENT 'how much it printed in all',
  PRIMARY KEY (fire_at, schedule_id, shard, attempt)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='what attempts printed';

CREATE TABLE IF NOT EXISTS nodes (
  id              VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY COMMENT 'new at every start',
  name            VARCHAR(128) NOT NULL COMMENT '[node] name',
  host            VARCHAR(255) NOT NULL DEFAULT '' COMMENT 'host name',
  address         VARCHAR(255) NOT NULL DEFAULT '' COMMENT 'address by which it reaches the store',
  pid             BIGINT NOT NULL DEFAULT 0 COMMENT 'process id on that host',
  state           VARCHAR(8) NOT NULL DEFAULT 'live' COMMENT 'live, cordoned, draining, left, purged',
  live_name       VARCHAR(128) AS (IF(state IN ('live', 'cordoned', 'draining'), name, NULL)) STORED COMMENT 'two present nodes never share a name',
  started_at      DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
  beat_at         DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC; the last beat',
  beat_seq        BIGINT NOT NULL DEFAULT 0 COMMENT 'how many beats; whoever purges must have seen it stand still',
  beat_s          DOUBLE NOT NULL COMMENT 'seconds between beats',
  lease_us        BIGINT AS (ROUND(beat_s * 3000000)) STORED COMMENT 'microseconds: three beats',
  slots           INT NOT NULL COMMENT 'how many runs at once',
  running         INT NOT NULL DEFAULT 0 COMMENT 'how many at the last beat',
  queues          JSON NOT NULL COMMENT 'JSON object: queue to its limit here, or null',
  roles           JSON NOT NULL COMMENT 'JSON list: dispatch, execute',
  cpu_pct         DOUBLE NOT NULL DEFAULT 0 COMMENT 'of one core, at the last beat',
  memory_bytes    BIGINT NOT NULL DEFAULT 0 COMMENT 'resident, at the last beat',
  clock_offset_ms DOUBLE NOT NULL DEFAULT 0 COMMENT 'host minus store, milliseconds',
  version         VARCHAR(40) NOT NULL DEFAULT '' COMMENT 'of Leasebeat',
  tzdata          VARCHAR(40) NOT NULL DEFAULT '' COMMENT 'of the time zone data',
  digest          VARCHAR(80) NOT NULL DEFAULT '' COMMENT 'of the schedules that it holds',
  boot_id         VARCHAR(64) NOT NULL DEFAULT '' COMMENT 'of its kernel',
  pid_namespace   VARCHAR(64) NOT NULL DEFAULT '' COMMENT 'of its process',
  process_start   BIGINT NOT NULL DEFAULT 0 COMMENT 'clock ticks after boot',
  czxid           BIGINT NULL COMMENT 'of its znode, where ZooKeeper is the coordinator: which of them is its own',
  UNIQUE KEY live_name (live_name),
  KEY state (state) COMMENT 'who is there, who is gone',
  CONSTRAINT node_state CHECK (state IN ('live', 'cordoned', 'draining', 'left', 'purged')),
  CONSTRAINT node_beat_s CHECK (beat_s > 0),
  CONSTRAINT node_queues CHECK (JSON_TYPE(queues) = 'OBJECT'),
  CONSTRAINT node_roles CHECK (JSON_TYPE(roles) = 'ARRAY')
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='running workers, and those that were';

CREATE TABLE IF NOT EXISTS roles (
  name       VARCHAR(40) NOT NULL PRIMARY KEY COMMENT 'auditor',
  holder     VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'nodes.id',
  term       BIGINT NOT NULL DEFAULT 0 COMMENT 'grows with every holder; what it writes carries it',
  expires_at DATETIME(6) NULL COMMENT 'UTC; then another may take it',
  watermark  DATETIME(6) NULL COMMENT 'UTC; every instant up to here is accounted for',
  CONSTRAINT role_watermark CHECK (watermark IS NULL OR watermark >= '1970-01-01')
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='leaderships';

CREATE TABLE IF NOT EXISTS schedule_history (
  id          BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY COMMENT 'the version that claims and runs carry',
  schedule_id BIGINT NOT NULL COMMENT 'schedules.id',
  former_id   BIGINT NOT NULL COMMENT 'the version before it; 0: the first',
  version     CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'schedules.version',
  updated_at  TIMESTAMP(6) NOT NULL DEFAULT '2000-01-01 00:00:00' COMMENT 'schedules.updated_at',
  valid_from  DATETIME(6) NOT NULL COMMENT 'UTC; in force for the instants after it, up to the next version',
  enabled     TINYINT(1) NOT NULL COMMENT 'schedules.enabled',
  deleted     TINYINT(1) NOT NULL DEFAULT 0 COMMENT '1: the row is gone',
  ends_at     DATETIME(6) NULL COMMENT 'schedules.ends_at',
  definition  JSON NOT NULL COMMENT 'what people wrote, by column',
  diff        JSON NULL COMMENT 'JSON object: each column that it changed, as [before, after]; NULL: the first one, or the row is gone',
  problem     TEXT NULL COMMENT 'why it cannot be used',
  good_id     BIGINT NULL COMMENT 'the version that runs while this one is the row; NULL: itself, 0: none',
  seen_at     DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC; when the first node read it',
  UNIQUE KEY chain (schedule_id, former_id) COMMENT 'one version follows another, whoever sees it first',
  KEY in_force (schedule_id, valid_from) COMMENT 'which version was in force',
  KEY since (valid_from) COMMENT 'what changed since'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='each version of each schedule that a node has seen';

CREATE TABLE IF NOT EXISTS schedule_problems (
  schedule_id BIGINT NOT NULL PRIMARY KEY COMMENT 'schedules.id',
  version     BIGINT NOT NULL COMMENT 'schedule_history.id of the row that cannot be used',
  problem     TEXT NOT NULL COMMENT 'why',
  good_id     BIGINT NOT NULL COMMENT 'schedule_history.id of what runs meanwhile; 0: nothing',
  noticed_at  DATETIME(6) NOT NULL COMMENT 'UTC'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='rows that cannot be used as they stand';

CREATE TABLE IF NOT EXISTS schedule_after (
  upstream_id BIGINT NOT NULL COMMENT 'schedules.id that must have ended',
  follower_id BIGINT NOT NULL COMMENT 'schedules.id that hangs on it',
  PRIMARY KEY (upstream_id, follower_id),
  KEY back (follower_id) COMMENT 'the upstreams of one'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='schedules.after, by id';

CREATE TABLE IF NOT EXISTS calendars (
  name   VARCHAR(64) NOT NULL COMMENT 'what schedules.calendar names',
  day    DATE NOT NULL COMMENT 'in the zone of the schedule',
  effect VARCHAR(8) NOT NULL DEFAULT 'exclude' COMMENT 'exclude (a holiday), add (a make-up day)',
  note   VARCHAR(190) NOT NULL DEFAULT '' COMMENT 'for people',
  PRIMARY KEY (name, day),
  CONSTRAINT calendar_effect CHECK (effect IN ('exclude', 'add'))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='days that differ';

CREATE TABLE IF NOT EXISTS lanes (
  name VARCHAR(64) NOT NULL PRIMARY KEY COMMENT 'what schedules.lane names',
  size INT NOT NULL DEFAULT 1 COMMENT 'how many runs at once; a lane that is not listed has 1',
  CONSTRAINT lane_size CHECK (size >= 1)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='bounds across schedules and nodes';

CREATE TABLE IF NOT EXISTS queues (
  name   VARCHAR(64) NOT NULL PRIMARY KEY COMMENT 'what schedules.queue names',
  paused TINYINT(1) NOT NULL DEFAULT 0 COMMENT '1: nothing of it is pulled',
  CONSTRAINT queue_paused CHECK (paused IN (0, 1))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='queues about which there is something to say';

CREATE TABLE IF NOT EXISTS activity (
  id      BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY COMMENT 'in the order in which it was written',
  at      DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)) COMMENT 'UTC',
  who     VARCHAR(190) NOT NULL DEFAULT '' COMMENT 'the user of the command',
  what    VARCHAR(32) NOT NULL COMMENT 'the command: add, edit, pause, rollback, backfill, ...',
  subject VARCHAR(190) NOT NULL DEFAULT '' COMMENT 'the name of the schedule, queue, lane, ... that it was about',
  detail  VARCHAR(1000) NOT NULL DEFAULT '' COMMENT 'a sentence',
  KEY of_subject (subject, id) COMMENT 'what was done to one',
  KEY since (at) COMMENT 'what was done since'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin COMMENT='what people did by commands; hand edits are in schedule_history';

CREATE OR REPLACE SQL SECURITY INVOKER VIEW schedule_digest AS
SELECT CONCAT_WS('-', COUNT(*), SUM(CRC32(CONCAT_WS(' ', id, version, updated_at))),
                 (SELECT SUM(CRC32(CONCAT_WS(' ', c.name, c.day, c.effect))) FROM calendars c)) AS digest
FROM schedules FORCE INDEX (digest);

CREATE OR REPLACE SQL SECURITY INVOKER VIEW schedule_list AS
SELECT s.id, s.name, s.description, s.owner, s.cron, s.timezone, s.kind, s.command, s.queue, s.enabled, p.problem,
       (SELECT r.status FROM runs r WHERE r.schedule_id = s.id ORDER BY r.fire_at DESC, r.shard DESC LIMIT 1) AS last_status,
       (SELECT r.fire_at FROM runs r WHERE r.schedule_id = s.id ORDER BY r.fire_at DESC LIMIT 1) AS last_at, s.created_at, s.updated_at
FROM schedules s LEFT JOIN schedule_problems p ON p.schedule_id = s.id;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW run_list AS
SELECT CONCAT(COALESCE(JSON_UNQUOTE(JSON_EXTRACT(h.definition, '$.name')), s.name, CONCAT('#', r.schedule_id)), '@',
              DATE_FORMAT(r.fire_at, '%Y-%m-%dT%H:%i:%s'),
              IF(MICROSECOND(r.fire_at) = 0, '', CONCAT('.', LPAD(MICROSECOND(r.fire_at), 6, '0'))), 'Z',
              IF(r.shard = 0, '', CONCAT('#', r.shard))) AS `key`,
       COALESCE(JSON_UNQUOTE(JSON_EXTRACT(h.definition, '$.name')), s.name, CONCAT('#', r.schedule_id)) AS schedule,
       n.name AS node, TIMESTAMPDIFF(MICROSECOND, r.fire_at, r.started_at) / 1000000 AS start_delay_s,
       TIMESTAMPDIFF(MICROSECOND, r.started_at, r.finished_at) / 1000000 AS duration_s, r.*
FROM runs r
LEFT JOIN schedule_history h ON h.id = r.version
LEFT JOIN schedules s ON s.id = r.schedule_id
LEFT JOIN nodes n ON n.id = r.node_id;

CREATE OR REPLACE SQL SECURITY INVOKER VIEW attempt_list AS
SELECT l.`key`, l.schedule, n.name AS node, t.fire_at, t.schedule_id, t.shard, t.attempt, t.node_id, t.outcome, t.exit_code,
       t.reason_code, t.reason, t.claimed_at, t.started_at, t.ended_at, o.output_bytes, o.output
FROM attempts t
LEFT JOIN run_list l ON l.fire_at = t.fire_at AND l.schedule_id = t.schedule_id AND l.shard = t.shard
LEFT JOIN nodes n ON n.id = t.node_id
LEFT JOIN outputs o ON o.fire_at = t.fire_at AND o.schedule_id = t.schedule_id AND o.shard = t.shard AND o.attempt = t.attempt
UNION ALL
SELECT r.`key`, r.schedule, r.node, r.fire_at, r.schedule_id, r.shard, r.attempt, r.node_id, r.status, r.exit_code,
       r.reason_code, r.reason, r.claimed_at, r.started_at, r.finished_at, o.output_bytes, o.output
FROM run_list r
LEFT JOIN outputs o ON o.fire_at = r.fire_at AND o.schedule_id = r.schedule_id AND o.shard = r.shard AND o.attempt = r.attempt
WHERE r.attempt > 0 AND NOT EXISTS (SELECT 1 FROM attempts t WHERE t.fire_at = r.fire_at AND t.schedule_id = r.schedule_id
                                    AND t.shard = r.shard AND t.attempt = r.attempt);

INSERT INTO roles (name) SELECT 'auditor' FROM (SELECT 1 AS one) x
WHERE NOT EXISTS (SELECT 1 FROM roles WHERE name = 'auditor');

INSERT INTO schema_info (version, min_worker, installation) SELECT 2, '0.1.0', REPLACE(UUID(), '-', '') FROM (SELECT 1 AS one) x
WHERE NOT EXISTS (SELECT 1 FROM schema_info);
