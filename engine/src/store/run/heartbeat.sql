-- Extends leases. A heartbeat counts only on the stream that carries the work (the worker's current epoch). A grant that is not
-- returned is lost.
WITH input AS MATERIALIZED (
    SELECT *
    FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::double precision[], $6::text[])
        AS i (run_id, fence, worker_id, epoch, progress_fraction, progress_message)
),
locked AS MATERIALIZED (
    SELECT r.id, i.fence, i.worker_id, i.progress_fraction, i.progress_message
    FROM input i
    JOIN ops.runs r ON r.id = i.run_id
    JOIN ops.workers w ON w.id = i.worker_id AND w.stream_epoch = i.epoch
    WHERE r.fence = i.fence AND r.worker_id = i.worker_id AND r.status IN ('claimed', 'running')
    ORDER BY r.id
    FOR NO KEY UPDATE OF r
),
touched AS (
    UPDATE ops.runs r
    SET heartbeat_at = clock_timestamp(),
        progress_fraction = coalesce(l.progress_fraction, r.progress_fraction),
        progress_message = coalesce(l.progress_message, r.progress_message),
        revision = r.revision + (l.progress_fraction IS NOT NULL)::int,
        updated_at = CASE WHEN l.progress_fraction IS NULL THEN r.updated_at ELSE clock_timestamp() END
    FROM locked l
    WHERE r.id = l.id AND r.fence = l.fence AND r.worker_id = l.worker_id AND r.status IN ('claimed', 'running')
    RETURNING r.id, r.fence, l.worker_id, r.tenant_id, l.progress_fraction IS NOT NULL AS progressed
),
-- Only progress is a change that watchers see.
changed AS (
    SELECT id, tenant_id FROM touched WHERE progressed
),
fed AS (
    INSERT INTO ops.run_changes (tenant_id, run_ids)
    SELECT tenant_id, array_agg(id) FROM changed GROUP BY tenant_id
)
SELECT id AS "id!", fence AS "fence!", worker_id AS "worker_id!" FROM touched
