INSERT INTO schedules (name, cron, timezone, command, args, run_as, queue, timeout_s, alert) VALUES
  ('shop/invoices', '30 1 * * *', 'Europe/Berlin', 'php artisan invoices:send --at="$LEASEBEAT_FIRE_AT"',
   '{"cwd": "/srv/shop", "env": {"APP_ENV": "production"}}', 'www-data', 'php', 3600,
   '{"mail": "shop@example.com", "on": ["failed", "timed_out", "lost"]}');
INSERT INTO schedules (name, cron, command, args, run_as, queue, after) VALUES
  ('shop/ledger', '@manual', 'php artisan ledger:close', '{"cwd": "/srv/shop"}', 'www-data', 'php',
   '["shop/invoices"]');
