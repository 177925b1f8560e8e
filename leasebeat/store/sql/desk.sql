-- What people's commands ask of the store, in words that MySQL, MariaDB and SQLite share.
--
-- Instants come in as text, `2026-11-20 03:00:00.000000`, which every one of them compares with its own; UTC_TIMESTAMP(6)
-- is a function that the SQLite session brings along. What must differ stands under `desk_` in mysql.sql and sqlite.sql.

-- name: desk_now
-- The store's time.
SELECT UTC_TIMESTAMP(6) AS now

-- name: desk_did
-- What somebody did by a command.
INSERT INTO activity (at, who, what, subject, detail) VALUES (UTC_TIMESTAMP(6), :who, :what, :subject, :detail)

-- name: desk_activity
-- What was done by commands, the last first; of one subject, or all.
SELECT a.id, a.at, a.who, a.what, a.subject, a.detail FROM activity a
WHERE (:subject IS NULL OR a.subject = :subject) AND a.at >= :since ORDER BY a.id DESC LIMIT :limit

-- name: desk_schedules
-- Every schedule with all its columns, its problem, and how it ended last.
SELECT s.*, l.problem, l.last_status, l.last_at FROM schedules s JOIN schedule_list l ON l.id = s.id ORDER BY s.name

-- name: desk_schedule
-- One of them, by name.
SELECT s.*, l.problem, l.last_status, l.last_at FROM schedules s JOIN schedule_list l ON l.id = s.id WHERE s.name = :schedule

-- name: desk_names
-- What schedules are called.
SELECT s.id, s.name FROM schedules s

-- name: desk_names_gone
-- What schedules were called that are gone.
SELECT h.schedule_id, h.definition FROM schedule_history h
WHERE h.deleted = 1 AND h.id = (SELECT MAX(x.id) FROM schedule_history x WHERE x.schedule_id = h.schedule_id)

-- name: desk_add
-- A row with its defaults; id and created_at are given where it takes the place of another.
INSERT INTO schedules (id, name, cron, command, created_at, updated_at)
VALUES (:id, :schedule, :cron, :command, COALESCE(:created_at, UTC_TIMESTAMP(6)), UTC_TIMESTAMP(6))

-- name: desk_edit
-- All of people's columns, if the row is still the one that was read.
UPDATE schedules
SET name = :new_name, description = :description, owner = :owner, cron = :cron, command = :command, kind = :kind, args = :args,
    timezone = :timezone, enabled = :enabled, starts_at = :starts_at, ends_at = :ends_at, calendar = :calendar, dst = :dst,
    jitter_s = :jitter_s, queue = :queue, priority = :priority, route = :route, shards = :shards, shard_args = :shard_args,
    overlap = :overlap, lane = :lane, misfire = :misfire, misfire_grace_s = :misfire_grace_s, timeout_s = :timeout_s,
    retries = :retries, retry_delay_s = :retry_delay_s, retry_backoff = :retry_backoff, on_node_loss = :on_node_loss,
    after = :after, after_rule = :after_rule, run_as = :run_as, alert = :alert, updated_at = UTC_TIMESTAMP(6)
WHERE id = :id AND version = :version

-- name: desk_remove
-- One schedule; its runs and its history stay.
DELETE FROM schedules WHERE name = :schedule

-- name: desk_run_now
-- A run that no instant asked for. The nodes dress it; 1062: somebody had the same microsecond.
INSERT INTO runs (fire_at, schedule_id, ready_at, args, requested_by)
SELECT :fire_at, s.id, :fire_at, :args, :requested_by FROM schedules s WHERE s.name = :schedule

-- name: desk_run
-- One run, for people.
SELECT l.* FROM run_list l WHERE l.fire_at = :fire_at AND l.schedule_id = :schedule_id AND l.shard = :shard

-- name: desk_runs_at
-- The runs of one instant: a text key names one of them.
SELECT l.schedule_id, l.schedule, s.name FROM run_list l LEFT JOIN schedules s ON s.id = l.schedule_id
WHERE l.fire_at = :fire_at AND l.shard = :shard ORDER BY l.schedule_id DESC

-- name: desk_kill
-- Ask that an open run ends.
UPDATE runs SET kill_requested = 1, requested_by = COALESCE(:requested_by, requested_by)
WHERE fire_at = :fire_at AND schedule_id = :schedule_id AND shard = :shard AND status IN ('queued', 'running')

-- name: desk_run_definition
-- What a run runs, and whether its schedule, and the node that it is pinned to, are still there.
SELECT s.id AS present, h.definition, r.attempt, r.shards, r.pinned_node_id, n.live_name
FROM runs r LEFT JOIN schedule_history h ON h.id = r.version LEFT JOIN schedules s ON s.id = r.schedule_id
LEFT JOIN nodes n ON n.id = r.pinned_node_id
WHERE r.fire_at = :fire_at AND r.schedule_id = :schedule_id AND r.shard = :shard

-- name: desk_serial
-- Which open runs want a serial: the one that holds it, then the oldest first.
SELECT l.schedule, l.fire_at, l.schedule_id, l.shard, l.status FROM run_list l WHERE l.serial = :serial
ORDER BY CASE WHEN l.serial_held = l.serial THEN 0 ELSE 1 END, l.fire_at

-- name: desk_keep_end
-- How a run ended that is about to be opened again; an attempt that is on record already stays as it is.
INSERT INTO attempts (fire_at, schedule_id, shard, attempt, node_id, outcome, exit_code, reason_code, reason, claimed_at,
                      started_at, ended_at)
SELECT r.fire_at, r.schedule_id, r.shard, r.attempt, r.node_id, r.status, r.exit_code, r.reason_code, r.reason,
       r.claimed_at, r.started_at, COALESCE(r.finished_at, UTC_TIMESTAMP(6))
FROM runs r
WHERE r.fire_at = :fire_at AND r.schedule_id = :schedule_id AND r.shard = :shard
  AND r.status IN ('failed', 'timed_out', 'killed', 'lost', 'skipped', 'missed')
  AND NOT EXISTS (SELECT 1 FROM attempts t WHERE t.fire_at = r.fire_at AND t.schedule_id = r.schedule_id
                  AND t.shard = r.shard AND t.attempt = r.attempt)

-- name: desk_retry
-- Open it again, without a start deadline, its counts from 0. The pull gives it the next attempt, and a fence above the last.
UPDATE runs
SET status = 'queued', ready_at = UTC_TIMESTAMP(6), expires_at = NULL, started_at = NULL, finished_at = NULL,
    failures = 0, take_overs = 0, exit_code = NULL, result = NULL, reason_code = NULL, reason = NULL, kill_requested = 0,
    pinned_node_id = CASE WHEN :pinned = 1 THEN pinned_node_id END, version = CASE WHEN :undressed = 0 THEN version END,
    serial = :serial, serial_held = :held, lane = :lane, lane_slot = NULL, follow = NULL,
    requested_by = COALESCE(:requested_by, requested_by)
WHERE fire_at = :fire_at AND schedule_id = :schedule_id AND shard = :shard
  AND status IN ('failed', 'timed_out', 'killed', 'lost', 'skipped', 'missed')

-- name: desk_attempts
-- Every try at a run, the last too: `attempt_list` of one run.
SELECT t.attempt, t.node_id, n.name AS node, t.outcome, t.exit_code, t.reason_code, t.reason, t.claimed_at, t.started_at,
       t.ended_at
FROM attempts t LEFT JOIN nodes n ON n.id = t.node_id
WHERE t.fire_at = :fire_at AND t.schedule_id = :schedule_id AND t.shard = :shard
UNION ALL
SELECT r.attempt, r.node_id, n.name, r.status, r.exit_code, r.reason_code, r.reason, r.claimed_at, r.started_at,
       r.finished_at
FROM runs r LEFT JOIN nodes n ON n.id = r.node_id
WHERE r.fire_at = :fire_at AND r.schedule_id = :schedule_id AND r.shard = :shard AND r.attempt > 0
  AND NOT EXISTS (SELECT 1 FROM attempts t WHERE t.fire_at = r.fire_at AND t.schedule_id = r.schedule_id
                  AND t.shard = r.shard AND t.attempt = r.attempt)
ORDER BY attempt

-- name: desk_output
-- What one try printed.
SELECT o.attempt, o.output, o.output_bytes FROM outputs o
WHERE o.fire_at = :fire_at AND o.schedule_id = :schedule_id AND o.shard = :shard AND o.attempt = :attempt

-- name: desk_nodes
-- Nodes that are there, or all that were.
SELECT n.* FROM nodes n WHERE :every = 1 OR n.live_name IS NOT NULL ORDER BY n.name, n.started_at

-- name: desk_set_node_state
-- Of the present node of a name.
UPDATE nodes SET state = :state WHERE live_name = :node

-- name: desk_problems
-- Rows that cannot be used.
SELECT p.*, s.name AS schedule FROM schedule_problems p JOIN schedules s ON s.id = p.schedule_id ORDER BY s.name

-- name: desk_role
-- Who leads.
SELECT r.*, n.name AS node FROM roles r LEFT JOIN nodes n ON n.id = r.holder WHERE r.name = :role

-- name: desk_late
-- Queued runs that might have started before now, the oldest first.
SELECT l.* FROM run_list l WHERE l.status = 'queued' AND l.ready_at < :before ORDER BY l.ready_at LIMIT :limit

-- name: desk_queue_names
-- The queues of schedules.
SELECT DISTINCT s.queue FROM schedules s

-- name: desk_queues
-- The queues about which something was said.
SELECT q.name, q.paused FROM queues q ORDER BY q.name

-- name: desk_set_queue
-- Pause or resume a queue that is listed.
UPDATE queues SET paused = :paused WHERE name = :queue

-- name: desk_add_queue
-- List a queue.
INSERT INTO queues (name, paused) VALUES (:queue, :paused)

-- name: desk_remove_queue
-- A queue that is not listed is not paused.
DELETE FROM queues WHERE name = :queue

-- name: desk_lane_names
-- The lanes of schedules.
SELECT DISTINCT s.lane FROM schedules s WHERE s.lane IS NOT NULL

-- name: desk_lanes
-- The lanes with a size of their own.
SELECT l.name, l.size FROM lanes l ORDER BY l.name

-- name: desk_set_lane
-- Another size for a lane that is listed.
UPDATE lanes SET size = :size WHERE name = :lane

-- name: desk_add_lane
-- List a lane.
INSERT INTO lanes (name, size) VALUES (:lane, :size)

-- name: desk_remove_lane
-- A lane that is not listed has the size 1.
DELETE FROM lanes WHERE name = :lane

-- name: desk_calendars
-- Every day of every calendar.
SELECT c.name, CAST(c.day AS CHAR) AS day, c.effect, c.note FROM calendars c ORDER BY c.name, c.day

-- name: desk_set_day
-- What a day that is listed does.
UPDATE calendars SET effect = :effect, note = :note WHERE name = :calendar AND day = :day

-- name: desk_add_day
-- List a day.
INSERT INTO calendars (name, day, effect, note) VALUES (:calendar, :day, :effect, :note)

-- name: desk_remove_day
-- One day as any other.
DELETE FROM calendars WHERE name = :calendar AND day = :day

-- name: desk_move_watermark
-- Where the audit goes on, if it still is where it was seen.
UPDATE roles SET watermark = :new
WHERE name = 'auditor' AND (watermark = :old OR (watermark IS NULL AND :old IS NULL))

-- name: desk_history
-- The versions of one schedule, the newest first.
SELECT h.* FROM schedule_history h WHERE h.schedule_id = :schedule_id ORDER BY h.id DESC LIMIT :limit

-- name: desk_version
-- One version.
SELECT h.* FROM schedule_history h WHERE h.id = :version

-- name: desk_schedule_of
-- One schedule, by id.
SELECT s.*, l.problem, l.last_status, l.last_at FROM schedules s JOIN schedule_list l ON l.id = s.id WHERE s.id = :schedule_id

-- name: desk_fires
-- The runs of one schedule with instants in [begin, end], oldest first.
SELECT l.* FROM run_list l WHERE l.schedule_id = :schedule_id AND l.fire_at >= :begin AND l.fire_at <= :end
ORDER BY l.fire_at, l.shard LIMIT :limit

-- name: desk_fire_before
-- The last instant of one schedule with a run, up to a moment.
SELECT MAX(r.fire_at) AS fire_at FROM runs r WHERE r.schedule_id = :schedule_id AND r.fire_at <= :moment

-- name: desk_spans
-- The rows of one schedule from before a moment that stand for several instants up to it. In between lie none but runs
-- put in by hand: so many are looked behind, and not all that there ever were.
SELECT l.* FROM run_list l
WHERE l.schedule_id = :schedule_id AND l.fire_at < :moment AND l.until >= :moment
  AND l.fire_at >= (SELECT MIN(x.fire_at) FROM (SELECT r.fire_at FROM runs r WHERE r.schedule_id = :schedule_id
                                                AND r.fire_at < :moment ORDER BY r.fire_at DESC LIMIT :limit) x)

-- name: desk_lane_holders
-- Which runs hold the slots of a lane.
SELECT l.`key`, l.node, l.started_at FROM run_list l
WHERE l.status = 'running' AND l.lane = :lane ORDER BY l.started_at

-- name: desk_attempts_of
-- Every try at the runs of one fire that was not the last.
SELECT t.shard, t.attempt, t.node_id, n.name AS node, t.outcome, t.exit_code, t.reason_code, t.reason, t.claimed_at, t.started_at,
       t.ended_at
FROM attempts t LEFT JOIN nodes n ON n.id = t.node_id
WHERE t.fire_at = :fire_at AND t.schedule_id = :schedule_id ORDER BY t.shard, t.attempt

-- name: desk_durations
-- How long the newest successes of one schedule took, in seconds.
SELECT l.duration_s FROM run_list l
WHERE l.schedule_id = :schedule_id AND l.status = 'succeeded' AND l.duration_s IS NOT NULL
ORDER BY l.fire_at DESC LIMIT :limit

-- name: desk_parts
-- How the parts of one fire stand.
SELECT r.status, COUNT(*) AS parts, MAX(r.shards) AS shards, MIN(r.started_at) AS started_at, MAX(r.finished_at) AS finished_at
FROM runs r WHERE r.fire_at = :fire_at AND r.schedule_id = :schedule_id GROUP BY r.status

-- name: desk_runs_between
-- What became of the fires of one schedule from one instant up to, and without, another.
SELECT r.fire_at, r.shard, r.status, r.until FROM runs r
WHERE r.schedule_id = :schedule_id AND r.fire_at >= :start AND r.fire_at < :end ORDER BY r.fire_at, r.shard

-- name: desk_backfill
-- A run of an instant that has none, if the schedule still is what it was computed from. 1062: somebody else was first.
INSERT INTO runs (fire_at, schedule_id, shard, ready_at, origin, queue, priority, version, lane, shards, requested_by)
SELECT :fire_at, s.id, :shard, :ready_at, 'backfill', :queue, :priority, h.id, :lane, :shards, :requested_by
FROM schedule_history h JOIN schedules s ON s.id = h.schedule_id AND s.version = h.version AND s.updated_at = h.updated_at
WHERE h.id = :version

-- name: desk_backfill_again
-- Open a run that never began again, with the definition of now. A row that stands for many instants stays.
UPDATE runs
SET status = 'queued', origin = 'backfill', ready_at = :ready_at, expires_at = NULL, started_at = NULL, finished_at = NULL,
    failures = 0, take_overs = 0, exit_code = NULL, result = NULL, reason_code = NULL, reason = NULL, kill_requested = 0,
    pinned_node_id = NULL, serial = NULL, serial_held = NULL, lane_slot = NULL, follow = NULL, queue = :queue,
    priority = :priority, version = :version, lane = :lane, shards = :shards, requested_by = :requested_by
WHERE fire_at = :fire_at AND schedule_id = :schedule_id AND shard = :shard AND status IN ('missed', 'skipped')
  AND until IS NULL AND EXISTS (
    SELECT 1 FROM schedule_history h JOIN schedules s ON s.id = h.schedule_id AND s.version = h.version AND s.updated_at = h.updated_at
    WHERE h.id = :version)
