-- Keeps events of grants that still stand; the same position again is kept once. Returns the grants that stand.
WITH batches AS MATERIALIZED (
    SELECT *
    FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[]) AS b (run_id, fence, worker_id, epoch)
),
standing AS MATERIALIZED (
    SELECT DISTINCT r.id, r.tenant_id, b.fence
    FROM batches b
    JOIN ops.runs r ON r.id = b.run_id
    JOIN ops.workers w ON w.id = b.worker_id AND w.stream_epoch = b.epoch
    WHERE r.fence = b.fence AND r.worker_id = b.worker_id AND r.status IN ('claimed', 'running')
),
entries AS MATERIALIZED (
    SELECT *
    FROM unnest($5::uuid[], $6::uuid[], $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::bytea[], $12::text[])
        AS e (id, run_id, fence, seq, level, message, raw, data)
),
kept AS (
    INSERT INTO ops.run_events (id, tenant_id, run_id, created_at, fence, seq, level, message, raw, data)
    SELECT e.id, s.tenant_id, e.run_id, clock_timestamp(), e.fence, e.seq, e.level, e.message, e.raw, e.data::jsonb
    FROM entries e
    JOIN standing s ON s.id = e.run_id AND s.fence = e.fence
    ORDER BY e.run_id, e.fence, e.seq
    ON CONFLICT (run_id, fence, seq) DO NOTHING
),
fed AS (
    INSERT INTO ops.run_changes (tenant_id, event_run_ids)
    SELECT tenant_id, array_agg(DISTINCT id) FROM standing GROUP BY tenant_id
)
SELECT id AS "id!", fence AS "fence!" FROM standing
