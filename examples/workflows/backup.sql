INSERT INTO schedules (name, cron, timezone, command, args, alert) VALUES
  ('backup', '0 3 * * *', 'Europe/Berlin', './backup.sh', '{"cwd": "/srv/backup"}',
   '{"mail": "dba@example.com"}');
INSERT INTO schedules (name, cron, command, args, after) VALUES
  ('backup/upload', '@manual', './upload.sh', '{"cwd": "/srv/backup"}', '["backup"]');
INSERT INTO schedules (name, cron, command, args, after, after_rule) VALUES
  ('backup/tidy', '@manual', './tidy.sh', '{"cwd": "/srv/backup"}', '["backup", "backup/upload"]', 'failure');
