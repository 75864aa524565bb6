-- Cancels runs. A run that no worker holds ends at once. The worker that holds one is ordered to stop it: a claimed run may execute
-- already, because its start is written late. The server of the worker's stream knows, and takes the run back if it was not sent a Start.
WITH locked AS MATERIALIZED (
    SELECT r.id
    FROM ops.runs r
    -- Not `=`: with it the planner would take the order from the index of tenants, and read all runs of the tenant.
    WHERE r.id = ANY ($2::uuid[]) AND r.tenant_id IS NOT DISTINCT FROM $1
      AND r.status IN ('queued', 'claimed', 'running')
    ORDER BY r.id
    FOR NO KEY UPDATE
),
changed AS (
    UPDATE ops.runs r
    SET status = CASE WHEN r.status = 'queued' THEN 'cancelled' ELSE r.status END,
        wait_reason = NULL,
        finished_at = CASE WHEN r.status = 'queued' THEN clock_timestamp() END,
        cancel_requested_at = clock_timestamp(),
        cancel_reason = $3,
        cancel_grace_ms = $4,
        cancel_confirmed = CASE WHEN r.status = 'queued' THEN true END,
        outcome_source = CASE WHEN r.status = 'queued' THEN 'cancel' ELSE r.outcome_source END,
        revision = r.revision + 1,
        updated_at = clock_timestamp()
    FROM locked l
    -- The first cancel counts; a second one changes nothing. A run may be claimed or started while this statement waits for its lock.
    -- Then `l` has the new row. The join finds the old row first, and only then PostgreSQL takes the new one as `r`. So no condition
    -- mixes `l` with `r`: `r.status = l.status` would miss the run, and values of both together would break the constraints.
    WHERE r.id = l.id AND r.status IN ('queued', 'claimed', 'running') AND r.cancel_requested_at IS NULL
    RETURNING r.id, r.tenant_id, r.session_id, r.status, r.fence, r.worker_id
),
-- The grace begins now and not with the transaction, which may have waited for a lock.
ordered AS (
    INSERT INTO ops.run_cancels (run_id, fence, tenant_id, worker_id, kind, grace_ms, reason, requested_at)
    SELECT id, fence, tenant_id, worker_id, 'cancel', $4, $3, clock_timestamp()
    FROM changed
    WHERE status IN ('claimed', 'running')
    ON CONFLICT (run_id, fence) DO NOTHING
),
counted AS (
    INSERT INTO ops.session_deltas (tenant_id, session_id, succeeded, failed, cancelled)
    SELECT tenant_id, session_id, count(*) FILTER (WHERE status = 'succeeded'), count(*) FILTER (WHERE status = 'failed'),
           count(*) FILTER (WHERE status = 'cancelled')
    FROM changed
    WHERE status IN ('succeeded', 'failed', 'cancelled')
    GROUP BY tenant_id, session_id
),
fed AS (
    INSERT INTO ops.run_changes (tenant_id, run_ids)
    SELECT tenant_id, array_agg(id) FROM changed GROUP BY tenant_id
)
SELECT count(*) FILTER (WHERE status IN ('claimed', 'running')) AS "ordered!" FROM changed
