-- The znode of a node, where ZooKeeper is the coordinator.
ALTER TABLE nodes ADD COLUMN czxid INTEGER;
