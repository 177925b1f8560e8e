-- The znode of a node, where ZooKeeper is the coordinator.
ALTER TABLE nodes ADD COLUMN czxid BIGINT NULL COMMENT 'of its znode, where ZooKeeper is the coordinator: which of them is its own';
