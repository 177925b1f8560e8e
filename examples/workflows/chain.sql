INSERT INTO lanes (name, size) VALUES ('erp', 1);
INSERT INTO schedules (name, cron, command, lane, priority, overlap) VALUES
  ('erp/import', '*/10 * * * *', '/opt/erp/import.sh', 'erp', 20, 'wait'),
  ('erp/match', '*/10 * * * *', '/opt/erp/match.sh', 'erp', 10, 'wait'),
  ('erp/export', '*/10 * * * *', '/opt/erp/export.sh', 'erp', 0, 'wait');
