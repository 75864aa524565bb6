-- What each role may see and do. ops_owner owns everything and serves no request. ops_engine runs the server: it may read and write each
-- row, and each of its statements names the tenant. ops_authenticated and ops_anon are for PostgREST, psql and reports: they see
-- the rows of their tenant alone, and write runs only through functions, so the state machine holds. The files in functions/ say who
-- may call a function.

ALTER TABLE ops.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops.session_deltas ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops.request_ids ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops.workers ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops.runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops.run_grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops.run_cancels ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops.run_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops.artifacts ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops.run_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops.lease_service ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops.run_queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops.run_leases ENABLE ROW LEVEL SECURITY;

CREATE POLICY engine ON ops.sessions TO ops_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON ops.session_deltas TO ops_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON ops.request_ids TO ops_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON ops.workers TO ops_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON ops.runs TO ops_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON ops.run_grants TO ops_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON ops.run_cancels TO ops_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON ops.run_events TO ops_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON ops.artifacts TO ops_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON ops.run_changes TO ops_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON ops.lease_service TO ops_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON ops.run_queue TO ops_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON ops.run_leases TO ops_engine USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE
    ON ops.sessions, ops.session_deltas, ops.request_ids, ops.workers, ops.runs, ops.run_grants, ops.run_cancels, ops.run_events,
       ops.artifacts, ops.run_changes, ops.lease_service, ops.run_queue, ops.run_leases
    TO ops_engine;

-- Readers see the rows of their tenant.
CREATE POLICY tenant_reads ON ops.sessions FOR SELECT TO ops_authenticated, ops_anon
    USING (tenant_id = (SELECT ops.current_tenant()));
CREATE POLICY tenant_reads ON ops.session_deltas FOR SELECT TO ops_authenticated, ops_anon
    USING (tenant_id = (SELECT ops.current_tenant()));
CREATE POLICY tenant_reads ON ops.workers FOR SELECT TO ops_authenticated, ops_anon
    USING (tenant_id = (SELECT ops.current_tenant()));
CREATE POLICY tenant_reads ON ops.runs FOR SELECT TO ops_authenticated, ops_anon
    USING (tenant_id = (SELECT ops.current_tenant()));
CREATE POLICY tenant_reads ON ops.run_grants FOR SELECT TO ops_authenticated, ops_anon
    USING (tenant_id = (SELECT ops.current_tenant()));
CREATE POLICY tenant_reads ON ops.run_events FOR SELECT TO ops_authenticated, ops_anon
    USING (tenant_id = (SELECT ops.current_tenant()));
CREATE POLICY tenant_reads ON ops.artifacts FOR SELECT TO ops_authenticated, ops_anon
    USING (tenant_id = (SELECT ops.current_tenant()));
GRANT SELECT ON ops.sessions, ops.session_deltas, ops.runs, ops.run_grants, ops.run_events, ops.artifacts
    TO ops_authenticated, ops_anon;
-- All columns but the hash of the secret and the number of the resume.
GRANT SELECT (id, tenant_id, created_at, name, mode, state, drain_requested_at, lanes, kinds, labels, version, stream_epoch,
              server_id, lease_ms, heartbeat_at) ON ops.workers TO ops_authenticated, ops_anon;

-- An authenticated role may create sessions of its tenant.
CREATE POLICY tenant_creates ON ops.sessions FOR INSERT TO ops_authenticated
    WITH CHECK (tenant_id = (SELECT ops.current_tenant()) AND status = 'active');
GRANT INSERT (id, tenant_id, name, description, triggered_by, context) ON ops.sessions TO ops_authenticated;
