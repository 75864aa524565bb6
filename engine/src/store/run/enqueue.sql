-- Inserts the runs of many calls, with their rows in queue, counters and feed. If one of their sessions ($13, of tenants $14, in the
-- order of ids) does not exist, takes no runs, or is locked by another transaction, it inserts nothing and returns no row.
--
-- The key lock conflicts with the lock of a closing (`session_lock_in_tx`), but not with that of a fold. It waits for nobody, so that
-- a locked session holds up no run of another session.
WITH open AS MATERIALIZED (
    SELECT s.id
    FROM unnest($13::uuid[], $14::text[]) AS wanted (id, tenant_id)
    CROSS JOIN LATERAL (
        SELECT id FROM ops.sessions WHERE id = wanted.id AND tenant_id = wanted.tenant_id AND closed_at IS NULL
        FOR KEY SHARE SKIP LOCKED) s
),
input AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::int[],
        $10::bigint[], $11::timestamptz[], $12::text[]
    ) AS i (id, tenant_id, session_id, lane, priority, kind, params, labels, max_attempts, timeout_ms, run_after,
            traceparent)
),
changed AS (
    INSERT INTO ops.runs (id, tenant_id, session_id, lane, priority, kind, params, labels, max_attempts, timeout_ms,
                          run_after, wait_reason, traceparent)
    SELECT id, tenant_id, session_id, lane::ops.lane_type, priority, kind, params::jsonb, labels::jsonb, max_attempts,
           timeout_ms, coalesce(run_after, now()), CASE WHEN run_after > now() THEN 'scheduled' END, traceparent
    FROM input
    WHERE (SELECT count(*) FROM open) = cardinality($13)
    RETURNING id, tenant_id, session_id, lane, kind, priority, run_after, status, wait_reason, fence
),
queued AS (
    INSERT INTO ops.run_queue (tenant_id, lane, kind, priority, run_after, run_id, fence)
    SELECT tenant_id, lane, kind, priority, run_after, id, fence FROM changed WHERE status = 'queued' AND wait_reason IS NULL
),
counted AS (
    INSERT INTO ops.session_deltas (tenant_id, session_id, total)
    SELECT tenant_id, session_id, count(*) FROM changed GROUP BY tenant_id, session_id
),
fed AS (
    INSERT INTO ops.run_changes (tenant_id, run_ids)
    SELECT tenant_id, array_agg(id) FROM changed GROUP BY tenant_id
)
SELECT now() AS "now!" WHERE EXISTS (SELECT FROM changed)
