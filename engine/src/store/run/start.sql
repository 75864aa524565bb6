-- Records starts that were sent to workers.
WITH input AS MATERIALIZED (
    SELECT *
    FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[])
        AS i (run_id, fence, worker_id, epoch, started_ago_ms)
),
locked AS MATERIALIZED (
    SELECT r.id, i.fence, i.worker_id, i.started_ago_ms
    FROM input i
    JOIN ops.runs r ON r.id = i.run_id
    JOIN ops.workers w ON w.id = i.worker_id AND w.stream_epoch = i.epoch
    WHERE r.fence = i.fence AND r.worker_id = i.worker_id AND r.status IN ('claimed', 'running')
    ORDER BY r.id
    FOR NO KEY UPDATE OF r
),
changed AS (
    UPDATE ops.runs r
    SET status = 'running',
        attempt = r.attempt + 1,
        started_at = clock_timestamp() - l.started_ago_ms * interval '1 ms',
        undelivered = 0,
        revision = r.revision + 1,
        updated_at = clock_timestamp()
    FROM locked l
    WHERE r.id = l.id AND r.fence = l.fence AND r.worker_id = l.worker_id AND r.status = 'claimed'
    RETURNING r.id, r.tenant_id
),
fed AS (
    INSERT INTO ops.run_changes (tenant_id, run_ids)
    SELECT tenant_id, array_agg(id) FROM changed GROUP BY tenant_id
)
-- A grant that runs already was started by an earlier try of the same write, whose answer was lost.
SELECT id AS "id!", fence AS "fence!", worker_id AS "worker_id!" FROM locked
