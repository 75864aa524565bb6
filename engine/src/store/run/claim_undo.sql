-- Releases the runs of a claim whose answer was lost, so no worker knows of them. No attempt is spent. Runs that another transaction
-- has locked stay claimed.
WITH lost AS MATERIALIZED (
    SELECT id FROM ops.runs
    WHERE id = ANY (ARRAY(SELECT unnest(run_ids) FROM ops.run_leases)) AND server_id = $1 AND claim_number = $2
      AND status IN ('claimed', 'running')
    FOR NO KEY UPDATE SKIP LOCKED
),
changed AS (
    UPDATE ops.runs r
    SET status = 'queued', attempt = r.attempt - (r.status = 'running')::int,
        started_at = NULL, revision = r.revision + 1, updated_at = clock_timestamp()
    WHERE r.id = ANY (ARRAY(SELECT id FROM lost)) AND r.server_id = $1 AND r.claim_number = $2
      AND r.status IN ('claimed', 'running') AND r.cancel_requested_at IS NULL
    RETURNING r.id, r.tenant_id, r.lane, r.kind, r.priority, r.run_after, r.status, r.wait_reason, r.fence
),
queued AS (
    INSERT INTO ops.run_queue (tenant_id, lane, kind, priority, run_after, run_id, fence)
    SELECT tenant_id, lane, kind, priority, run_after, id, fence FROM changed WHERE status = 'queued' AND wait_reason IS NULL
),
fed AS (
    INSERT INTO ops.run_changes (tenant_id, run_ids)
    SELECT tenant_id, array_agg(id) FROM changed GROUP BY tenant_id
)
SELECT count(*) AS "released!" FROM changed
