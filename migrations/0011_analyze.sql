-- ANALYZE would count the ids in these arrays, of which no two are equal: seconds of work once a minute under load, for nothing.
ALTER TABLE ops.run_changes ALTER COLUMN run_ids SET STATISTICS 0, ALTER COLUMN event_run_ids SET STATISTICS 0;
ALTER TABLE ops.run_leases ALTER COLUMN run_ids SET STATISTICS 0;
ALTER TABLE ops.request_ids ALTER COLUMN resource_ids SET STATISTICS 0;
