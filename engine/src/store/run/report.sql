-- Ends grants with the outcomes that their workers report. A report whose run is not returned was refused.
--
-- The input is in the order of ids, so the update locks the rows in that order. A report without `started_ago_ms` ends no claimed run: its
-- worker was not sent a Start.
WITH input AS MATERIALIZED (
    SELECT i.*
    FROM unnest(
        $1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bytea[],
        $10::bigint[]
    ) AS i (run_id, fence, worker_id, epoch, outcome, result, error, delay_ms, hash, started_ago_ms)
    JOIN ops.workers w ON w.id = i.worker_id AND w.stream_epoch = i.epoch
    ORDER BY i.run_id
),
changed AS (
    UPDATE ops.runs r
    SET (status, wait_reason, run_after, attempt, started_at, undelivered, heartbeat_at, finished_at, result,
         error, cancel_confirmed, outcome_source, outcome_hash, revision, updated_at) = (
        SELECT s.next, CASE WHEN s.next = 'queued' AND i.delay_ms > 0 THEN 'scheduled' END,
               CASE WHEN s.next = 'queued' THEN clock_timestamp() + i.delay_ms * interval '1 ms' ELSE r.run_after END,
               s.attempt - (s.next = 'queued' AND i.outcome = 'snoozed')::int,
               coalesce(r.started_at, clock_timestamp() - i.started_ago_ms * interval '1 ms'),
               0, clock_timestamp(), CASE WHEN s.next <> 'queued' THEN clock_timestamp() END, i.result::jsonb,
               CASE WHEN i.outcome <> 'snoozed' THEN i.error::jsonb END,
               CASE WHEN s.next = 'cancelled' THEN true END,
               CASE WHEN s.next <> 'queued' THEN 'worker' END,
               CASE WHEN s.next <> 'queued' THEN i.hash END,
               r.revision + 1, clock_timestamp()
        -- A report carries a start that was not written yet.
        FROM (SELECT a.attempt, ops.run_next(i.outcome, true, r.cancel_requested_at IS NOT NULL, a.attempt, r.max_attempts) AS next
              FROM (SELECT r.attempt + (r.status = 'claimed')::int AS attempt) a) s)
    FROM input i
    WHERE r.id = i.run_id AND r.fence = i.fence AND r.worker_id = i.worker_id
      AND (r.status = 'running' OR r.status = 'claimed' AND i.started_ago_ms IS NOT NULL)
    RETURNING r.id, r.tenant_id, r.session_id, r.lane, r.kind, r.priority, r.run_after, r.status, r.wait_reason, r.fence,
              r.worker_id, r.claimed_at, r.started_at, r.traceparent,
              r.cancel_requested_at, r.attempt + (i.outcome = 'snoozed')::int AS ended_attempt, i.hash, i.error AS ended_error
),
-- A run that goes on keeps the outcome of this grant here.
kept AS (
    INSERT INTO ops.run_grants (run_id, fence, tenant_id, worker_id, attempt, claimed_at, started_at, outcome_source,
                                outcome_hash, error)
    SELECT id, fence, tenant_id, worker_id, ended_attempt, claimed_at, started_at, 'worker', hash, ended_error::jsonb
    FROM changed
    WHERE status = 'queued'
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
SELECT id AS "id!", status AS "status!", traceparent FROM changed
