INSERT INTO schedules (name, cron, timezone, kind, command, shards, shard_args, on_node_loss, retries) VALUES
  ('sms/birthday', '0 9 * * *', 'Asia/Shanghai', 'python', 'sms.jobs:birthday', 2, '["Beijing", "Tianjin"]',
   'fail', 3);
INSERT INTO schedules (name, cron, kind, command, after, after_rule) VALUES
  ('sms/undo', '@manual', 'python', 'sms.jobs:undo', '["sms/birthday"]', 'failure');
