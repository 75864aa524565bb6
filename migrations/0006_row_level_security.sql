-- Who may see and do what. ops_owner owns everything and serves no request. ops_engine runs the server: it may touch each
-- row, and names the tenant in each statement. ops_authenticated and ops_anon are for PostgREST, psql and reports: they
-- see the rows of their tenant alone, and write runs only through functions, so that the state machine holds.
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['sessions', 'session_deltas', 'request_ids', 'workers', 'runs', 'run_grants',
        'run_cancels', 'run_events', 'artifacts', 'run_changes', 'lease_service'] LOOP
        EXECUTE format('ALTER TABLE ops.%I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY engine ON ops.%I TO ops_engine USING (true) WITH CHECK (true)', table_name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ops.%I TO ops_engine', table_name);
    END LOOP;
    FOREACH table_name IN ARRAY ARRAY['sessions', 'session_deltas', 'workers', 'runs', 'run_grants', 'run_events', 'artifacts'] LOOP
        EXECUTE format('CREATE POLICY tenant_reads ON ops.%I FOR SELECT TO ops_authenticated, ops_anon '
            'USING (tenant_id = (SELECT ops.current_tenant()))', table_name);
    END LOOP;
    FOREACH table_name IN ARRAY ARRAY['sessions', 'session_deltas', 'runs', 'run_grants', 'run_events', 'artifacts'] LOOP
        EXECUTE format('GRANT SELECT ON ops.%I TO ops_authenticated, ops_anon', table_name);
    END LOOP;
END
$$;

-- All but the hash of the secret.
GRANT SELECT (id, tenant_id, created_at, name, mode, state, drain_requested_at, lanes, kinds, labels, version, stream_epoch,
              server_id, lease_ms, heartbeat_at) ON ops.workers TO ops_authenticated, ops_anon;

CREATE POLICY tenant_creates ON ops.sessions FOR INSERT TO ops_authenticated
    WITH CHECK (tenant_id = (SELECT ops.current_tenant()) AND status = 'active');
GRANT INSERT (id, tenant_id, name, description, triggered_by, context) ON ops.sessions TO ops_authenticated;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA ops FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.current_tenant() TO ops_engine, ops_authenticated, ops_anon;
GRANT EXECUTE ON FUNCTION ops.enqueue_run(uuid, ops.lane_type, text, jsonb, int, jsonb, int, interval, timestamptz, text)
    TO ops_engine, ops_authenticated;
