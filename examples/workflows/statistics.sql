INSERT INTO schedules (name, cron, kind, command) VALUES
  ('stats/orders', '5 0 * * *', 'python', 'shop.stats:orders'),
  ('stats/visits', '5 0 * * *', 'python', 'shop.stats:visits'),
  ('stats/refunds', '5 0 * * *', 'python', 'shop.stats:refunds');
INSERT INTO schedules (name, cron, kind, command, after, after_rule) VALUES
  ('stats/report', '@manual', 'python', 'shop.stats:report',
   '["stats/orders", "stats/visits", "stats/refunds"]', 'done');
INSERT INTO schedules (name, cron, kind, command, after) VALUES
  ('stats/ready', '@manual', 'publish', 'channel:stats', '["stats/report"]');
