-- Logical replication needs to know which row an UPDATE or DELETE means. A table without a primary key has no identity, and with a
-- publication of all tables every claim would fail. The queue has no primary key, because that would be one more index to write; its
-- order is unique and serves as well. This costs nothing without logical replication.
ALTER TABLE ops.run_queue REPLICA IDENTITY USING INDEX run_queue_order;
