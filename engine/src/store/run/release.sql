-- Gives grants back that were not begun: no attempt is spent. What was given out ten times in a row and not begun waits a
-- minute. A cancelled run that is given back has nothing running any more. A replica that has not heard yet that its stream
-- was replaced may still be given runs for it: what was not begun it gives back all the same, and nobody else knows of it.
WITH input AS MATERIALIZED (
    SELECT *
    FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::boolean[], $6::boolean[])
        AS i (run_id, fence, worker_id, epoch, begun_too, undelivered)
),
locked AS MATERIALIZED (
    SELECT r.id, i.fence, i.worker_id, i.begun_too,
           r.undelivered + i.undelivered::int AS undelivered,
           r.undelivered + i.undelivered::int >= 10 AS waits
    FROM input i
    JOIN ops.runs r ON r.id = i.run_id
    JOIN ops.workers w ON w.id = i.worker_id AND (w.stream_epoch = i.epoch OR NOT i.begun_too)
    WHERE r.fence = i.fence AND r.worker_id = i.worker_id AND r.status IN ('claimed', 'running')
    ORDER BY r.id
    FOR NO KEY UPDATE OF r
),
released AS (
    UPDATE ops.runs r
    SET status = CASE WHEN r.cancel_requested_at IS NULL THEN 'queued' ELSE 'cancelled' END,
        wait_reason = CASE WHEN l.waits AND r.cancel_requested_at IS NULL THEN 'undelivered' END,
        run_after = CASE WHEN l.waits THEN clock_timestamp() + interval '1 minute' ELSE r.run_after END,
        undelivered = CASE WHEN l.waits THEN 0 ELSE l.undelivered END,
        attempt = r.attempt - (r.status = 'running')::int,
        started_at = NULL,
        finished_at = CASE WHEN r.cancel_requested_at IS NOT NULL THEN clock_timestamp() END,
        cancel_confirmed = CASE WHEN r.cancel_requested_at IS NOT NULL THEN true END,
        outcome_source = CASE WHEN r.cancel_requested_at IS NOT NULL THEN 'cancel' END,
        revision = r.revision + 1,
        updated_at = clock_timestamp()
    FROM locked l
    WHERE r.id = l.id AND r.fence = l.fence AND r.worker_id = l.worker_id
      AND (r.status = 'claimed' OR (l.begun_too AND r.status = 'running'))
    RETURNING r.id, r.tenant_id, r.session_id, r.lane, r.kind, r.priority, r.run_after, r.status, r.wait_reason, r.fence
),
queued AS (
    INSERT INTO ops.run_queue (tenant_id, lane, kind, priority, run_after, run_id, fence)
    SELECT tenant_id, lane, kind, priority, run_after, id, fence FROM released WHERE status = 'queued' AND wait_reason IS NULL
),
-- What somebody keeps locked is forgotten later (`run_cancel_unconfirmed`).
answered AS (
    DELETE FROM ops.run_cancels
    WHERE ctid = ANY (ARRAY(
        SELECT c.ctid
        FROM released e
        CROSS JOIN LATERAL (
            SELECT ctid FROM ops.run_cancels WHERE run_id = e.id AND fence = e.fence FOR UPDATE SKIP LOCKED) c))
),
counted AS (
    INSERT INTO ops.session_deltas (tenant_id, session_id, cancelled)
    SELECT tenant_id, session_id, count(*) FROM released WHERE status = 'cancelled' GROUP BY tenant_id, session_id
),
fed AS (
    INSERT INTO ops.run_changes (tenant_id, run_ids)
    SELECT tenant_id, array_agg(id) FROM released GROUP BY tenant_id
)
SELECT id AS "id!" FROM released
