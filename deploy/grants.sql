-- The three accounts of Leasebeat on MySQL and MariaDB, each with the least that it needs.
--
-- Replace the passwords and, where the hosts are known, '%' before you apply it:
--     mysql < deploy/grants.sql
-- The tables must be there (`python scheduler.py init` with the owner's rights, or schema.sql).
--
--   leasebeat_worker    what `python worker.py` uses: runs schedules, cannot write or remove them
--   leasebeat_console   what people's commands use: `scheduler.py add`, `run`, `kill`, `drain`, ...
--   leasebeat_owner     `scheduler.py init` and updates of the tables
--
-- Whoever may write `schedules` may run code on the hosts of the workers.

CREATE USER IF NOT EXISTS 'leasebeat_worker'@'%' IDENTIFIED BY 'REPLACE-WORKER-PASSWORD';
CREATE USER IF NOT EXISTS 'leasebeat_console'@'%' IDENTIFIED BY 'REPLACE-CONSOLE-PASSWORD';
CREATE USER IF NOT EXISTS 'leasebeat_owner'@'%' IDENTIFIED BY 'REPLACE-OWNER-PASSWORD';

-- Everybody reads everything, through the views too.
GRANT SELECT ON leasebeat.* TO 'leasebeat_worker'@'%';
GRANT SELECT ON leasebeat.* TO 'leasebeat_console'@'%';

-- A worker opens, runs, ends and removes runs, and keeps the history of schedules.
GRANT INSERT, UPDATE, DELETE ON leasebeat.runs TO 'leasebeat_worker'@'%';
GRANT INSERT, UPDATE, DELETE ON leasebeat.attempts TO 'leasebeat_worker'@'%';
GRANT INSERT, DELETE ON leasebeat.outputs TO 'leasebeat_worker'@'%';
GRANT INSERT, UPDATE, DELETE ON leasebeat.nodes TO 'leasebeat_worker'@'%';
GRANT INSERT, UPDATE ON leasebeat.roles TO 'leasebeat_worker'@'%';
GRANT INSERT ON leasebeat.schedule_history TO 'leasebeat_worker'@'%';
GRANT INSERT, UPDATE, DELETE ON leasebeat.schedule_problems TO 'leasebeat_worker'@'%';
GRANT INSERT, DELETE ON leasebeat.schedule_after TO 'leasebeat_worker'@'%';
GRANT UPDATE (updated_at) ON leasebeat.schedules TO 'leasebeat_worker'@'%';
GRANT UPDATE (coordinator) ON leasebeat.schema_info TO 'leasebeat_worker'@'%';

-- People write schedules, ask for runs, and cordon or drain nodes.
GRANT INSERT, UPDATE, DELETE ON leasebeat.schedules TO 'leasebeat_console'@'%';
GRANT INSERT, UPDATE, DELETE ON leasebeat.calendars TO 'leasebeat_console'@'%';
GRANT INSERT, UPDATE, DELETE ON leasebeat.lanes TO 'leasebeat_console'@'%';
GRANT INSERT, UPDATE, DELETE ON leasebeat.queues TO 'leasebeat_console'@'%';
GRANT INSERT, UPDATE ON leasebeat.runs TO 'leasebeat_console'@'%';
GRANT INSERT, UPDATE ON leasebeat.attempts TO 'leasebeat_console'@'%';
GRANT UPDATE (state) ON leasebeat.nodes TO 'leasebeat_console'@'%';
GRANT UPDATE (watermark) ON leasebeat.roles TO 'leasebeat_console'@'%';
GRANT INSERT ON leasebeat.activity TO 'leasebeat_console'@'%';

GRANT ALL PRIVILEGES ON leasebeat.* TO 'leasebeat_owner'@'%';
