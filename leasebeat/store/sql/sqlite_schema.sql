-- Leasebeat's tables in SQLite 3.38+: the names, columns and views of schema.sql, which says what each is for.
--
-- Applied by `python scheduler.py init`. Applying it twice does no harm. Nothing in it needs more than SQLite
-- itself, so that rows may be edited with the sqlite3 shell.
--
-- Instants are UTC, text of one form, `2026-11-20 03:00:00.000000`, and the CHECKs leave them no other: as keys, two
-- forms of one instant would be two runs. Ids are never given out twice (AUTOINCREMENT): the next schedule would
-- inherit the runs of a deleted one. Tables are STRICT, so that a number is a number.

CREATE TABLE IF NOT EXISTS schedules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    owner TEXT NOT NULL DEFAULT '',
    cron TEXT NOT NULL,
    command TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT 'shell',
    args TEXT,
    timezone TEXT NOT NULL DEFAULT 'UTC',
    enabled INTEGER NOT NULL DEFAULT 1,
    starts_at TEXT,
    ends_at TEXT,
    calendar TEXT,
    dst TEXT NOT NULL DEFAULT 'cron',
    jitter_s REAL NOT NULL DEFAULT 0,
    queue TEXT NOT NULL DEFAULT 'default',
    priority INTEGER NOT NULL DEFAULT 0,
    route TEXT NOT NULL DEFAULT 'sticky',
    shards INTEGER NOT NULL DEFAULT 1,
    shard_args TEXT,
    overlap TEXT NOT NULL DEFAULT 'skip',
    lane TEXT,
    misfire TEXT NOT NULL DEFAULT 'once',
    misfire_grace_s REAL NOT NULL DEFAULT 3600,
    timeout_s REAL,
    retries INTEGER NOT NULL DEFAULT 0,
    retry_delay_s REAL NOT NULL DEFAULT 10,
    retry_backoff REAL NOT NULL DEFAULT 2,
    on_node_loss TEXT NOT NULL DEFAULT 'rerun',
    "after" TEXT,
    after_rule TEXT NOT NULL DEFAULT 'success',
    run_as TEXT,
    alert TEXT,
    version TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))), -- fresh with every change: the triggers below
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    -- Every ASCII character that is neither letter, digit nor . _ / - , and blanks and signs of the wider world.
    CONSTRAINT "name: 1-128 letters or digits of any script and . _ / -" CHECK (length(name) BETWEEN 1 AND 128
        AND name NOT GLOB '*[' || char(1) || '-,:-@[-^`{-©«-´¶-¹»-¿×÷' || char(8192) || '-' || char(8303)
            || char(12288) || '-' || char(12292, 65533) || ']*'),
    CONSTRAINT "cron: 1-500 characters" CHECK (length(cron) BETWEEN 1 AND 500),
    CONSTRAINT "command: not empty" CHECK (command <> ''),
    CONSTRAINT "kind: shell, python, http, publish" CHECK (kind IN ('shell', 'python', 'http', 'publish')),
    CONSTRAINT "args: a JSON object" CHECK (iif(json_valid(args), json_type(args) = 'object', args IS NULL)),
    CONSTRAINT "timezone: an IANA name" CHECK (length(timezone) BETWEEN 1 AND 64),
    CONSTRAINT "enabled: 1 or 0" CHECK (enabled IN (0, 1)),
    CONSTRAINT "starts_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(starts_at, 1, 19), '+0 days') || printf('.%06u', substr(starts_at, 21, 6)) IS starts_at),
    CONSTRAINT "ends_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(ends_at, 1, 19), '+0 days') || printf('.%06u', substr(ends_at, 21, 6)) IS ends_at),
    CONSTRAINT "starts_at: 1970 or later" CHECK (starts_at IS NULL OR starts_at >= '1970'),
    CONSTRAINT "ends_at: 1970 or later" CHECK (ends_at IS NULL OR ends_at >= '1970'),
    CONSTRAINT "ends_at: not before starts_at" CHECK (starts_at IS NULL OR ends_at IS NULL OR starts_at <= ends_at),
    CONSTRAINT "dst: cron, skip, both" CHECK (dst IN ('cron', 'skip', 'both')),
    CONSTRAINT "jitter_s: 0 to 86400" CHECK (jitter_s BETWEEN 0 AND 86400),
    CONSTRAINT "queue: 1-64 letters, digits and . _ / -" CHECK (
        length(queue) BETWEEN 1 AND 64 AND queue NOT GLOB '*[^A-Za-z0-9._/-]*'),
    CONSTRAINT "priority: -1000000 to 1000000" CHECK (priority BETWEEN -1000000 AND 1000000),
    CONSTRAINT "route: sticky, spread, any, all, node:NAME" CHECK (
        route IN ('sticky', 'spread', 'any', 'all') OR route GLOB 'node:?*'),
    CONSTRAINT "shards: 1 to 10000" CHECK (shards BETWEEN 1 AND 10000),
    CONSTRAINT "shard_args: a JSON list" CHECK (
        iif(json_valid(shard_args), json_type(shard_args) = 'array', shard_args IS NULL)),
    CONSTRAINT "overlap: skip, wait, replace, allow" CHECK (overlap IN ('skip', 'wait', 'replace', 'allow')),
    CONSTRAINT "misfire: once, all, skip" CHECK (misfire IN ('once', 'all', 'skip')),
    CONSTRAINT "misfire_grace_s: 0 to 315360000 (ten years)" CHECK (misfire_grace_s BETWEEN 0 AND 315360000),
    CONSTRAINT "timeout_s: 0 to 315360000 (ten years), or NULL" CHECK (
        timeout_s IS NULL OR timeout_s BETWEEN 0 AND 315360000),
    CONSTRAINT "retries: -1 or more" CHECK (retries >= -1),
    CONSTRAINT "retry_delay_s: 0 to 315360000 (ten years)" CHECK (retry_delay_s BETWEEN 0 AND 315360000),
    CONSTRAINT "retry_backoff: 1 to 100" CHECK (retry_backoff BETWEEN 1 AND 100),
    CONSTRAINT "on_node_loss: rerun, fail, finish" CHECK (on_node_loss IN ('rerun', 'fail', 'finish')),
    CONSTRAINT "after: a JSON list" CHECK (iif(json_valid("after"), json_type("after") = 'array', "after" IS NULL)),
    CONSTRAINT "after_rule: success, done, failure" CHECK (after_rule IN ('success', 'done', 'failure')),
    CONSTRAINT "alert: a JSON object" CHECK (iif(json_valid(alert), json_type(alert) = 'object', alert IS NULL)),
    CONSTRAINT "updated_at: 1970 or later" CHECK (updated_at >= '1970'),
    CONSTRAINT "updated_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(updated_at, 1, 19), '+0 days') || printf('.%06u', substr(updated_at, 21, 6)) IS updated_at)
) STRICT;

-- A row changed when one of people's columns has another value, whoever edited it and however.
CREATE TRIGGER IF NOT EXISTS schedules_edited AFTER UPDATE ON schedules
WHEN (
        NEW.name, NEW.description, NEW.owner, NEW.cron, NEW.command, NEW.kind, NEW.args, NEW.timezone,
        NEW.enabled, NEW.starts_at, NEW.ends_at, NEW.calendar, NEW.dst, NEW.jitter_s, NEW.queue,
        NEW.priority, NEW.route, NEW.shards, NEW.shard_args, NEW.overlap, NEW.lane, NEW.misfire,
        NEW.misfire_grace_s, NEW.timeout_s, NEW.retries, NEW.retry_delay_s, NEW.retry_backoff,
        NEW.on_node_loss, NEW."after", NEW.after_rule, NEW.run_as, NEW.alert
    ) IS NOT (
        OLD.name, OLD.description, OLD.owner, OLD.cron, OLD.command, OLD.kind, OLD.args, OLD.timezone,
        OLD.enabled, OLD.starts_at, OLD.ends_at, OLD.calendar, OLD.dst, OLD.jitter_s, OLD.queue,
        OLD.priority, OLD.route, OLD.shards, OLD.shard_args, OLD.overlap, OLD.lane, OLD.misfire,
        OLD.misfire_grace_s, OLD.timeout_s, OLD.retries, OLD.retry_delay_s, OLD.retry_backoff,
        OLD.on_node_loss, OLD."after", OLD.after_rule, OLD.run_as, OLD.alert
    )
BEGIN
    UPDATE schedules SET version = lower(hex(randomblob(16))),
        updated_at = iif(NEW.updated_at IS OLD.updated_at, strftime('%Y-%m-%d %H:%M:%f000', 'now'), NEW.updated_at)
    WHERE id = NEW.id;
END;

-- A row put back with the version of its past is another version.
CREATE TRIGGER IF NOT EXISTS schedules_added AFTER INSERT ON schedules
BEGIN
    UPDATE schedules SET version = lower(hex(randomblob(16))) WHERE id = NEW.id;
END;

-- One value that changes with every edit; in MySQL a view computes it.
CREATE TABLE IF NOT EXISTS schedule_digest (digest TEXT NOT NULL) STRICT;
INSERT INTO schedule_digest SELECT '0' WHERE NOT EXISTS (SELECT 1 FROM schedule_digest);

-- Adding and editing set the version, so that these two see every change.
CREATE TRIGGER IF NOT EXISTS schedules_versioned AFTER UPDATE ON schedules
BEGIN
    UPDATE schedule_digest SET digest = lower(hex(randomblob(8)));
END;

CREATE TRIGGER IF NOT EXISTS schedules_removed AFTER DELETE ON schedules
BEGIN
    UPDATE schedule_digest SET digest = lower(hex(randomblob(8)));
END;

CREATE TABLE IF NOT EXISTS runs (
    fire_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    schedule_id INTEGER NOT NULL,
    shard INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'queued',
    reason_code TEXT,
    reason TEXT,
    queue TEXT NOT NULL DEFAULT 'default',
    priority INTEGER NOT NULL DEFAULT 0,
    pull_order INTEGER AS (-priority) STORED,
    ready_at TEXT, -- fire_at where none was given: the trigger below
    expires_at TEXT,
    node_id TEXT,
    attempt INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    take_overs INTEGER NOT NULL DEFAULT 0,
    pinned_node_id TEXT,
    origin TEXT NOT NULL DEFAULT 'manual',
    version INTEGER,
    args TEXT,
    requested_by TEXT,
    claimed_at TEXT,
    started_at TEXT,
    finished_at TEXT,
    exit_code INTEGER,
    result TEXT,
    until TEXT,
    missed_count INTEGER,
    shards INTEGER NOT NULL DEFAULT 1,
    kill_requested INTEGER NOT NULL DEFAULT 0,
    serial TEXT,
    serial_held TEXT,
    lane TEXT,
    lane_slot TEXT,
    follow INTEGER,
    PRIMARY KEY (fire_at, schedule_id, shard),
    CONSTRAINT "status: queued, running, succeeded, failed, timed_out, killed, lost, skipped, missed" CHECK (
        status IN ('queued', 'running', 'succeeded', 'failed', 'timed_out', 'killed', 'lost', 'skipped', 'missed')),
    CONSTRAINT "origin: trigger, audit, manual, after, backfill" CHECK (
        origin IN ('trigger', 'audit', 'manual', 'after', 'backfill')),
    CONSTRAINT "shard: 0 or more" CHECK (shard >= 0),
    CONSTRAINT "args: a JSON object" CHECK (iif(json_valid(args), json_type(args) = 'object', args IS NULL)),
    CONSTRAINT "result: JSON" CHECK (result IS NULL OR json_valid(result)),
    CONSTRAINT "kill_requested: 0, 1 or 2" CHECK (kill_requested IN (0, 1, 2)),
    CONSTRAINT "shards: a whole number above 0" CHECK (typeof(shards) = 'integer' AND shards >= 1),
    CONSTRAINT "fire_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(fire_at, 1, 19), '+0 days') || printf('.%06u', substr(fire_at, 21, 6)) IS fire_at),
    CONSTRAINT "ready_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(ready_at, 1, 19), '+0 days') || printf('.%06u', substr(ready_at, 21, 6)) IS ready_at),
    CONSTRAINT "fire_at: 1970 or later" CHECK (fire_at >= '1970'),
    CONSTRAINT "ready_at: 1970 or later" CHECK (ready_at IS NULL OR ready_at >= '1970'),
    CONSTRAINT "expires_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(expires_at, 1, 19), '+0 days') || printf('.%06u', substr(expires_at, 21, 6)) IS expires_at),
    CONSTRAINT "claimed_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(claimed_at, 1, 19), '+0 days') || printf('.%06u', substr(claimed_at, 21, 6)) IS claimed_at),
    CONSTRAINT "started_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(started_at, 1, 19), '+0 days') || printf('.%06u', substr(started_at, 21, 6)) IS started_at),
    CONSTRAINT "finished_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(finished_at, 1, 19), '+0 days') || printf('.%06u', substr(finished_at, 21, 6)) IS finished_at),
    CONSTRAINT "until: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(until, 1, 19), '+0 days') || printf('.%06u', substr(until, 21, 6)) IS until)
) STRICT, WITHOUT ROWID;

-- Small, because they hold only the rows that they are for.
CREATE UNIQUE INDEX IF NOT EXISTS serial_held ON runs (serial_held) WHERE serial_held IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS lane_slot ON runs (lane_slot) WHERE lane_slot IS NOT NULL;
CREATE INDEX IF NOT EXISTS pull ON runs (queue, pull_order, ready_at) WHERE status = 'queued';
CREATE INDEX IF NOT EXISTS mine ON runs (node_id) WHERE status = 'running';
CREATE INDEX IF NOT EXISTS waiting ON runs (serial, fire_at) WHERE serial IS NOT NULL;
CREATE INDEX IF NOT EXISTS of_schedule ON runs (schedule_id, fire_at);
CREATE INDEX IF NOT EXISTS follow ON runs (fire_at) WHERE follow = 1;
CREATE INDEX IF NOT EXISTS undressed ON runs (fire_at) WHERE status = 'queued' AND version IS NULL;
CREATE INDEX IF NOT EXISTS unwanted ON runs (fire_at) WHERE status = 'queued' AND kill_requested <> 0;
CREATE INDEX IF NOT EXISTS expiring ON runs (expires_at) WHERE status = 'queued' AND attempt = 0;

-- A default cannot name another column here.
CREATE TRIGGER IF NOT EXISTS runs_added AFTER INSERT ON runs WHEN NEW.ready_at IS NULL
BEGIN
    UPDATE runs SET ready_at = fire_at
    WHERE fire_at = NEW.fire_at AND schedule_id = NEW.schedule_id AND shard = NEW.shard;
END;

CREATE TABLE IF NOT EXISTS attempts (
    fire_at TEXT NOT NULL,
    schedule_id INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    node_id TEXT,
    outcome TEXT NOT NULL,
    exit_code INTEGER,
    reason_code TEXT,
    reason TEXT,
    claimed_at TEXT,
    started_at TEXT,
    ended_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    PRIMARY KEY (fire_at, schedule_id, shard, attempt),
    CONSTRAINT "fire_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(fire_at, 1, 19), '+0 days') || printf('.%06u', substr(fire_at, 21, 6)) IS fire_at),
    CONSTRAINT "claimed_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(claimed_at, 1, 19), '+0 days') || printf('.%06u', substr(claimed_at, 21, 6)) IS claimed_at),
    CONSTRAINT "started_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(started_at, 1, 19), '+0 days') || printf('.%06u', substr(started_at, 21, 6)) IS started_at),
    CONSTRAINT "ended_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(ended_at, 1, 19), '+0 days') || printf('.%06u', substr(ended_at, 21, 6)) IS ended_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS outputs (
    fire_at TEXT NOT NULL,
    schedule_id INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    output BLOB NOT NULL,
    output_bytes INTEGER NOT NULL,
    PRIMARY KEY (fire_at, schedule_id, shard, attempt),
    CONSTRAINT "fire_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(fire_at, 1, 19), '+0 days') || printf('.%06u', substr(fire_at, 21, 6)) IS fire_at)
) STRICT;

CREATE TABLE IF NOT EXISTS nodes (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    host TEXT NOT NULL DEFAULT '',
    address TEXT NOT NULL DEFAULT '',
    pid INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'live',
    live_name TEXT AS (iif(state IN ('live', 'cordoned', 'draining'), name, NULL)) STORED UNIQUE,
    started_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    beat_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    beat_seq INTEGER NOT NULL DEFAULT 0,
    beat_s REAL NOT NULL,
    lease_us INTEGER AS (CAST(round(beat_s * 3000000) AS INTEGER)) STORED,
    slots INTEGER NOT NULL,
    running INTEGER NOT NULL DEFAULT 0,
    queues TEXT NOT NULL,
    roles TEXT NOT NULL,
    cpu_pct REAL NOT NULL DEFAULT 0,
    memory_bytes INTEGER NOT NULL DEFAULT 0,
    clock_offset_ms REAL NOT NULL DEFAULT 0,
    version TEXT NOT NULL DEFAULT '',
    tzdata TEXT NOT NULL DEFAULT '',
    digest TEXT NOT NULL DEFAULT '',
    boot_id TEXT NOT NULL DEFAULT '',
    pid_namespace TEXT NOT NULL DEFAULT '',
    process_start INTEGER NOT NULL DEFAULT 0,
    czxid INTEGER,
    CONSTRAINT "state: live, cordoned, draining, left, purged" CHECK (
        state IN ('live', 'cordoned', 'draining', 'left', 'purged')),
    CONSTRAINT "beat_s: more than 0" CHECK (beat_s > 0),
    CONSTRAINT "queues: a JSON object" CHECK (iif(json_valid(queues), json_type(queues) = 'object', 0)),
    CONSTRAINT "roles: a JSON list" CHECK (iif(json_valid(roles), json_type(roles) = 'array', 0)),
    CONSTRAINT "started_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(started_at, 1, 19), '+0 days') || printf('.%06u', substr(started_at, 21, 6)) IS started_at),
    CONSTRAINT "beat_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(beat_at, 1, 19), '+0 days') || printf('.%06u', substr(beat_at, 21, 6)) IS beat_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS roles (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT,
    term INTEGER NOT NULL DEFAULT 0,
    expires_at TEXT,
    watermark TEXT,
    CONSTRAINT "watermark: 1970 or later" CHECK (watermark IS NULL OR watermark >= '1970'),
    CONSTRAINT "expires_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(expires_at, 1, 19), '+0 days') || printf('.%06u', substr(expires_at, 21, 6)) IS expires_at),
    CONSTRAINT "watermark: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(watermark, 1, 19), '+0 days') || printf('.%06u', substr(watermark, 21, 6)) IS watermark)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS schedule_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    schedule_id INTEGER NOT NULL,
    former_id INTEGER NOT NULL,
    version TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    valid_from TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    ends_at TEXT,
    definition TEXT NOT NULL CHECK (json_valid(definition)),
    diff TEXT CHECK (diff IS NULL OR json_type(diff) = 'object'),
    problem TEXT,
    good_id INTEGER,
    seen_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    UNIQUE (schedule_id, former_id),
    CONSTRAINT "updated_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(updated_at, 1, 19), '+0 days') || printf('.%06u', substr(updated_at, 21, 6)) IS updated_at),
    CONSTRAINT "valid_from: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(valid_from, 1, 19), '+0 days') || printf('.%06u', substr(valid_from, 21, 6)) IS valid_from),
    CONSTRAINT "ends_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(ends_at, 1, 19), '+0 days') || printf('.%06u', substr(ends_at, 21, 6)) IS ends_at),
    CONSTRAINT "seen_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(seen_at, 1, 19), '+0 days') || printf('.%06u', substr(seen_at, 21, 6)) IS seen_at)
) STRICT;
CREATE INDEX IF NOT EXISTS in_force ON schedule_history (schedule_id, valid_from);
CREATE INDEX IF NOT EXISTS since ON schedule_history (valid_from);

CREATE TABLE IF NOT EXISTS activity (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    who TEXT NOT NULL DEFAULT '',
    what TEXT NOT NULL,
    subject TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    CONSTRAINT "at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(at, 1, 19), '+0 days') || printf('.%06u', substr(at, 21, 6)) IS at)
) STRICT;

CREATE INDEX IF NOT EXISTS of_subject ON activity (subject, id);
CREATE INDEX IF NOT EXISTS activity_since ON activity (at);

CREATE TABLE IF NOT EXISTS schedule_problems (
    schedule_id INTEGER NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    problem TEXT NOT NULL,
    good_id INTEGER NOT NULL,
    noticed_at TEXT NOT NULL,
    CONSTRAINT "noticed_at: YYYY-MM-DD HH:MM:SS.ffffff, UTC" CHECK (
        datetime(substr(noticed_at, 1, 19), '+0 days') || printf('.%06u', substr(noticed_at, 21, 6)) IS noticed_at)
) STRICT;

CREATE TABLE IF NOT EXISTS schedule_after (
    upstream_id INTEGER NOT NULL,
    follower_id INTEGER NOT NULL,
    PRIMARY KEY (upstream_id, follower_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS back ON schedule_after (follower_id);

CREATE TABLE IF NOT EXISTS calendars (
    name TEXT NOT NULL,
    day TEXT NOT NULL,
    effect TEXT NOT NULL DEFAULT 'exclude',
    note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (name, day),
    CONSTRAINT "name: 1-64 characters" CHECK (length(name) BETWEEN 1 AND 64),
    CONSTRAINT "day: YYYY-MM-DD" CHECK (date(day, '+0 days') IS day),
    CONSTRAINT "effect: exclude, add" CHECK (effect IN ('exclude', 'add'))
) STRICT, WITHOUT ROWID;

-- An edit of a calendar is one of the schedules that name it: nodes look at these when the digest changes.
CREATE TRIGGER IF NOT EXISTS calendars_added AFTER INSERT ON calendars
BEGIN
    UPDATE schedule_digest SET digest = lower(hex(randomblob(8)));
END;

CREATE TRIGGER IF NOT EXISTS calendars_edited AFTER UPDATE ON calendars
BEGIN
    UPDATE schedule_digest SET digest = lower(hex(randomblob(8)));
END;

CREATE TRIGGER IF NOT EXISTS calendars_removed AFTER DELETE ON calendars
BEGIN
    UPDATE schedule_digest SET digest = lower(hex(randomblob(8)));
END;

CREATE TABLE IF NOT EXISTS lanes (
    name TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL DEFAULT 1,
    CONSTRAINT "size: 1 or more" CHECK (size >= 1)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS queues (
    name TEXT NOT NULL PRIMARY KEY,
    paused INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT "paused: 1 or 0" CHECK (paused IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS schema_info (
    id INTEGER NOT NULL PRIMARY KEY DEFAULT 1,
    version INTEGER NOT NULL,
    min_worker TEXT NOT NULL,
    installation TEXT NOT NULL,
    coordinator TEXT NOT NULL DEFAULT 'store',
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')),
    CONSTRAINT "there is one row" CHECK (id = 1),
    CONSTRAINT "coordinator: store, zookeeper" CHECK (coordinator IN ('store', 'zookeeper'))
) STRICT;

CREATE VIEW IF NOT EXISTS schedule_list AS
SELECT s.id, s.name, s.description, s.owner, s.cron, s.timezone, s.kind, s.command, s.queue, s.enabled, p.problem,
       (SELECT r.status FROM runs r WHERE r.schedule_id = s.id ORDER BY r.fire_at DESC, r.shard DESC LIMIT 1) AS last_status,
       (SELECT r.fire_at FROM runs r WHERE r.schedule_id = s.id ORDER BY r.fire_at DESC LIMIT 1) AS last_at, s.created_at, s.updated_at
FROM schedules s LEFT JOIN schedule_problems p ON p.schedule_id = s.id;

CREATE VIEW IF NOT EXISTS run_list AS
SELECT coalesce(h.definition ->> '$.name', s.name, '#' || r.schedule_id) || '@' || replace(substr(r.fire_at, 1, 19), ' ', 'T')
       || iif(substr(r.fire_at, 20) = '.000000', '', substr(r.fire_at, 20)) || 'Z' || iif(r.shard = 0, '', '#' || r.shard) AS key,
       coalesce(h.definition ->> '$.name', s.name, '#' || r.schedule_id) AS schedule,
       n.name AS node,
       unixepoch(substr(r.started_at, 1, 19)) - unixepoch(substr(r.fire_at, 1, 19))
       + (substr(r.started_at, 21) - substr(r.fire_at, 21)) / 1000000.0 AS start_delay_s,
       unixepoch(substr(r.finished_at, 1, 19)) - unixepoch(substr(r.started_at, 1, 19))
       + (substr(r.finished_at, 21) - substr(r.started_at, 21)) / 1000000.0 AS duration_s, r.*
FROM runs r
LEFT JOIN schedule_history h ON h.id = r.version
LEFT JOIN schedules s ON s.id = r.schedule_id
LEFT JOIN nodes n ON n.id = r.node_id;

CREATE VIEW IF NOT EXISTS attempt_list AS
SELECT l.key, l.schedule, n.name AS node, t.fire_at, t.schedule_id, t.shard, t.attempt, t.node_id, t.outcome, t.exit_code,
       t.reason_code, t.reason, t.claimed_at, t.started_at, t.ended_at, o.output_bytes, o.output
FROM attempts t
LEFT JOIN run_list l ON l.fire_at = t.fire_at AND l.schedule_id = t.schedule_id AND l.shard = t.shard
LEFT JOIN nodes n ON n.id = t.node_id
LEFT JOIN outputs o ON o.fire_at = t.fire_at AND o.schedule_id = t.schedule_id AND o.shard = t.shard AND o.attempt = t.attempt
UNION ALL
SELECT r.key, r.schedule, r.node, r.fire_at, r.schedule_id, r.shard, r.attempt, r.node_id, r.status, r.exit_code,
       r.reason_code, r.reason, r.claimed_at, r.started_at, r.finished_at, o.output_bytes, o.output
FROM run_list r
LEFT JOIN outputs o ON o.fire_at = r.fire_at AND o.schedule_id = r.schedule_id AND o.shard = r.shard AND o.attempt = r.attempt
WHERE r.attempt > 0 AND NOT EXISTS (SELECT 1 FROM attempts t WHERE t.fire_at = r.fire_at AND t.schedule_id = r.schedule_id
                                    AND t.shard = r.shard AND t.attempt = r.attempt);

INSERT INTO roles (name) SELECT 'auditor' WHERE NOT EXISTS (SELECT 1 FROM roles WHERE name = 'auditor');

INSERT INTO schema_info (version, min_worker, installation)
SELECT 2, '0.1.0', lower(hex(randomblob(16))) WHERE NOT EXISTS (SELECT 1 FROM schema_info);
