-- Brings stored instants of the future to the present, after the clock of the database has gone back. Otherwise leases, cancels and
-- waits would last longer by as much as the clock went back. This is the only rule: whatever was stored in the future counts as now.
--
-- A caller's `run_after` is no such instant: callers may name any time. The wait of a run that was claimed before (`fence > 0`) was
-- counted from its last change.
--
-- Rows that another transaction locks stay as they are; `left` counts them.
WITH present AS MATERIALIZED (
    SELECT clock_timestamp() AS at
),
late_leases AS MATERIALIZED (
    SELECT l.worker_id, l.id FROM ops.run_leases l CROSS JOIN present p WHERE l.due_at > p.at
),
free_leases AS MATERIALIZED (
    SELECT f.worker_id, f.id
    FROM late_leases l
    CROSS JOIN LATERAL (
        SELECT worker_id, id FROM ops.run_leases WHERE worker_id = l.worker_id AND id = l.id FOR UPDATE SKIP LOCKED) f
),
leases AS (
    UPDATE ops.run_leases l SET due_at = p.at
    FROM free_leases f CROSS JOIN present p
    WHERE l.worker_id = f.worker_id AND l.id = f.id
),
late_workers AS MATERIALIZED (
    SELECT w.id FROM ops.workers w CROSS JOIN present p
    WHERE w.state IN ('active', 'disconnected') AND w.heartbeat_at > p.at
),
free_workers AS MATERIALIZED (
    SELECT f.id
    FROM late_workers l
    CROSS JOIN LATERAL (SELECT id FROM ops.workers WHERE id = l.id FOR NO KEY UPDATE SKIP LOCKED) f
),
workers AS (
    UPDATE ops.workers w SET heartbeat_at = p.at FROM free_workers f CROSS JOIN present p WHERE w.id = f.id
),
late_cancels AS MATERIALIZED (
    SELECT c.run_id, c.fence FROM ops.run_cancels c CROSS JOIN present p WHERE c.requested_at > p.at
),
free_cancels AS MATERIALIZED (
    SELECT f.run_id, f.fence
    FROM late_cancels l
    CROSS JOIN LATERAL (
        SELECT run_id, fence FROM ops.run_cancels WHERE run_id = l.run_id AND fence = l.fence FOR UPDATE SKIP LOCKED) f
),
cancels AS (
    UPDATE ops.run_cancels c SET requested_at = p.at
    FROM free_cancels f CROSS JOIN present p
    WHERE c.run_id = f.run_id AND c.fence = f.fence
),
-- Held runs by their last heartbeat, and waiting runs by their last change.
late_runs AS MATERIALIZED (
    SELECT r.id
    FROM ops.runs r CROSS JOIN present p
    WHERE r.id = ANY (ARRAY(SELECT unnest(run_ids) FROM ops.run_leases))
      AND r.status IN ('claimed', 'running') AND r.heartbeat_at > p.at
    UNION ALL
    SELECT r.id
    FROM ops.runs r CROSS JOIN present p
    WHERE r.wait_reason IS NOT NULL AND r.fence > 0 AND r.updated_at > p.at
),
free_runs AS MATERIALIZED (
    SELECT f.id
    FROM (SELECT id FROM late_runs ORDER BY id) l
    CROSS JOIN LATERAL (SELECT id FROM ops.runs WHERE id = l.id FOR NO KEY UPDATE SKIP LOCKED) f
),
late AS (
    SELECT (SELECT count(*) FROM late_leases) + (SELECT count(*) FROM late_workers) + (SELECT count(*) FROM late_cancels)
           + (SELECT count(*) FROM late_runs) AS rows
),
free AS (
    SELECT (SELECT count(*) FROM free_leases) + (SELECT count(*) FROM free_workers) + (SELECT count(*) FROM free_cancels)
           + (SELECT count(*) FROM free_runs) AS rows
),
changed AS (
    UPDATE ops.runs r
    SET heartbeat_at = least(r.heartbeat_at, p.at),
        run_after = CASE WHEN r.wait_reason IS NULL THEN r.run_after ELSE p.at + (r.run_after - r.updated_at) END,
        updated_at = CASE WHEN r.wait_reason IS NULL THEN r.updated_at ELSE p.at END,
        revision = r.revision + 1
    FROM free_runs f CROSS JOIN present p
    WHERE r.id = f.id AND (r.status IN ('claimed', 'running') OR r.wait_reason IS NOT NULL)
    RETURNING r.id, r.tenant_id
),
fed AS (
    INSERT INTO ops.run_changes (tenant_id, run_ids)
    SELECT tenant_id, array_agg(id) FROM changed GROUP BY tenant_id
)
SELECT free.rows AS "changed!", late.rows - free.rows AS "left!" FROM late CROSS JOIN free
