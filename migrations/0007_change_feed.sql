-- The change feed. Each row names the runs that one batch changed, and the runs to which it added events. Commits do not happen in the
-- order of the ids, so readers follow the feed by transaction snapshot. Rows are kept for an hour.
CREATE TABLE ops.run_changes (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid            xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tenant_id      text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    run_ids        uuid[] NOT NULL DEFAULT '{}',
    event_run_ids  uuid[] NOT NULL DEFAULT '{}'
);
CREATE INDEX run_changes_xid ON ops.run_changes (xid);
CREATE INDEX run_changes_created ON ops.run_changes (created_at);
-- No two of the ids are equal. Compression gains nothing, and ANALYZE would spend seconds on counting them.
ALTER TABLE ops.run_changes
    ALTER COLUMN run_ids SET STORAGE EXTERNAL, ALTER COLUMN run_ids SET STATISTICS 0,
    ALTER COLUMN event_run_ids SET STORAGE EXTERNAL, ALTER COLUMN event_run_ids SET STATISTICS 0;
