-- The change feed: which runs a round changed, and of which it kept events. Readers follow it by transaction snapshot, not
-- by id, because commits do not happen in the order of the sequence. Rows are kept for an hour.
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

-- Runs that are deleted by hand reach the watchers too.
CREATE FUNCTION ops.runs_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        INSERT INTO ops.run_changes (tenant_id, run_ids)
            SELECT tenant_id, array_agg(id) FROM deleted GROUP BY tenant_id;
        PERFORM pg_notify('ops_changes', '');
        RETURN NULL;
    END
    $$;
CREATE TRIGGER runs_deleted AFTER DELETE ON ops.runs
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION ops.runs_deleted();
