-- Writes the events of grants that are still valid; a position that exists is not written again. Each entry has the guard of its own
-- batch, so a batch whose grant is not valid writes nothing, even if another batch has the same run. Returns the places of the batches
-- whose grants are valid.
--
-- The lock timeout $12 holds until the end of the statement, which is its own transaction.
WITH batches AS MATERIALIZED (
    SELECT *, set_config('lock_timeout', $12, true)
    FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[]) WITH ORDINALITY
        AS b (run_id, fence, worker_id, epoch, place)
),
standing AS MATERIALIZED (
    SELECT b.place, r.id, r.tenant_id
    FROM batches b
    JOIN ops.runs r ON r.id = b.run_id
    JOIN ops.workers w ON w.id = b.worker_id AND w.stream_epoch = b.epoch
    WHERE r.fence = b.fence AND r.worker_id = b.worker_id AND r.status IN ('claimed', 'running')
),
entries AS MATERIALIZED (
    SELECT *
    FROM unnest($5::uuid[], $6::int[], $7::bigint[], $8::text[], $9::text[], $10::bytea[], $11::text[])
        AS e (id, place, seq, level, message, raw, data)
),
kept AS (
    INSERT INTO ops.run_events (id, tenant_id, run_id, created_at, fence, seq, level, message, raw, data)
    SELECT e.id, r.tenant_id, r.id, clock_timestamp(), r.fence, e.seq, e.level, e.message, e.raw, e.data::jsonb
    FROM entries e
    JOIN ops.runs r ON r.id = ($1::uuid[])[e.place]
    JOIN ops.workers w ON w.id = ($3::uuid[])[e.place] AND w.stream_epoch = ($4::bigint[])[e.place]
    WHERE r.fence = ($2::bigint[])[e.place] AND r.worker_id = w.id AND r.status IN ('claimed', 'running')
    ORDER BY r.id, r.fence, e.seq
    ON CONFLICT (run_id, fence, seq) DO NOTHING
),
fed AS (
    INSERT INTO ops.run_changes (tenant_id, event_run_ids)
    SELECT tenant_id, array_agg(DISTINCT id) FROM standing GROUP BY tenant_id
)
SELECT place AS "place!" FROM standing
