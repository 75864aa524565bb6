-- Releases grants that did not start; no attempt is spent. A run that was delivered ten times in a row and not started waits a minute. No
-- part of a released run executes any more, so a release confirms its cancel. A server may claim runs for a stream before it learns that
-- the stream was replaced. It releases them with the old epoch, since no other server knows of them.
WITH input AS MATERIALIZED (
    SELECT *
    FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::boolean[], $6::boolean[])
        AS i (run_id, fence, worker_id, epoch, started_too, undelivered)
),
locked AS MATERIALIZED (
    SELECT r.id, i.fence, i.worker_id, i.started_too,
           r.undelivered + i.undelivered::int AS undelivered,
           r.undelivered + i.undelivered::int >= 10 AS waits,
           ops.run_next('released', r.status = 'running', r.cancel_requested_at IS NOT NULL, r.attempt, r.max_attempts) AS next
    FROM input i
    JOIN ops.runs r ON r.id = i.run_id
    JOIN ops.workers w ON w.id = i.worker_id AND (w.stream_epoch = i.epoch OR NOT i.started_too)
    WHERE r.fence = i.fence AND r.worker_id = i.worker_id AND r.status IN ('claimed', 'running')
    ORDER BY r.id
    FOR NO KEY UPDATE OF r
),
changed AS (
    UPDATE ops.runs r
    SET status = l.next,
        wait_reason = CASE WHEN l.waits AND l.next = 'queued' THEN 'undelivered' END,
        run_after = CASE WHEN l.waits THEN clock_timestamp() + interval '1 minute' ELSE r.run_after END,
        undelivered = CASE WHEN l.waits THEN 0 ELSE l.undelivered END,
        attempt = r.attempt - (r.status = 'running')::int,
        started_at = NULL,
        finished_at = CASE WHEN l.next = 'cancelled' THEN clock_timestamp() END,
        cancel_confirmed = CASE WHEN l.next = 'cancelled' THEN true END,
        outcome_source = CASE WHEN l.next = 'cancelled' THEN 'cancel' END,
        revision = r.revision + 1,
        updated_at = clock_timestamp()
    FROM locked l
    WHERE r.id = l.id AND r.fence = l.fence AND r.worker_id = l.worker_id
      AND (r.status = 'claimed' OR (l.started_too AND r.status = 'running'))
    RETURNING r.id, r.tenant_id, r.session_id, r.lane, r.kind, r.priority, r.run_after, r.status, r.wait_reason, r.fence,
              r.cancel_requested_at
),
queued AS (
    INSERT INTO ops.run_queue (tenant_id, lane, kind, priority, run_after, run_id, fence)
    SELECT tenant_id, lane, kind, priority, run_after, id, fence FROM changed WHERE status = 'queued' AND wait_reason IS NULL
),
-- `run_cancel_unconfirmed` deletes the orders that another transaction has locked.
answered AS (
    DELETE FROM ops.run_cancels
    WHERE ctid = ANY (ARRAY(
        SELECT o.ctid
        FROM changed c
        CROSS JOIN LATERAL (
            SELECT ctid FROM ops.run_cancels WHERE run_id = c.id AND fence = c.fence FOR UPDATE SKIP LOCKED) o
        WHERE c.cancel_requested_at IS NOT NULL))
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
SELECT id AS "id!" FROM changed
