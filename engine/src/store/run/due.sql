-- Puts runs whose time has come into the queue.
WITH due AS MATERIALIZED (
    SELECT id FROM ops.runs r WHERE ops.run_is_due(r)
    ORDER BY run_after LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED
),
changed AS (
    UPDATE ops.runs r
    SET wait_reason = NULL, revision = r.revision + 1, updated_at = clock_timestamp()
    WHERE r.id = ANY (ARRAY(SELECT id FROM due)) AND r.status = 'queued' AND r.wait_reason IS NOT NULL
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
SELECT count(*) AS "offered!" FROM changed
