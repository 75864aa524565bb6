-- Ends grants with the outcomes that their workers report. What is not returned was refused.
WITH input AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bytea[],
        $10::bigint[]
    ) AS i (run_id, fence, worker_id, epoch, outcome, result, error, delay_ms, hash, started_ago_ms)
),
locked AS MATERIALIZED (
    SELECT r.id, r.status, r.attempt + (r.status = 'claimed')::int AS attempt, r.max_attempts,
           r.cancel_requested_at IS NOT NULL AS cancel_requested,
           i.fence, i.worker_id, i.outcome, i.result, i.error, i.delay_ms, i.hash, i.started_ago_ms
    FROM input i
    JOIN ops.runs r ON r.id = i.run_id
    JOIN ops.workers w ON w.id = i.worker_id AND w.stream_epoch = i.epoch
    WHERE r.fence = i.fence AND r.worker_id = i.worker_id AND r.status IN ('claimed', 'running')
    ORDER BY r.id
    FOR NO KEY UPDATE OF r
),
-- Where a run goes. A success always stands; after a cancel was asked for, anything else is the cancel's confirmation.
settled AS MATERIALIZED (
    SELECT *,
           CASE
               WHEN outcome = 'succeeded' THEN 'succeeded'
               WHEN cancel_requested OR outcome = 'cancelled' THEN 'cancelled'
               WHEN outcome = 'snoozed' THEN 'queued'
               WHEN outcome = 'failed' AND attempt < max_attempts THEN 'queued'
               ELSE 'failed'
           END AS next
    FROM locked
),
ended AS (
    UPDATE ops.runs r
    SET status = s.next,
        held = false,
        claimable = (s.next = 'queued' AND s.delay_ms = 0),
        wait_reason = CASE WHEN s.next = 'queued' AND s.delay_ms > 0 THEN 'scheduled' END,
        run_after = CASE WHEN s.next = 'queued' THEN clock_timestamp() + s.delay_ms * interval '1 ms' ELSE r.run_after END,
        -- A start that was not written yet is carried by the report; a snoozed attempt does not count.
        attempt = s.attempt - (s.next = 'queued' AND s.outcome = 'snoozed')::int,
        started_at = coalesce(r.started_at, clock_timestamp() - s.started_ago_ms * interval '1 ms'),
        undelivered = 0,
        heartbeat_at = clock_timestamp(),
        finished_at = CASE WHEN s.next <> 'queued' THEN clock_timestamp() END,
        result = s.result::jsonb,
        error = CASE WHEN s.outcome <> 'snoozed' THEN s.error::jsonb END,
        cancel_confirmed = CASE WHEN s.next = 'cancelled' THEN true END,
        outcome_source = CASE WHEN s.next <> 'queued' THEN 'worker' END,
        outcome_hash = CASE WHEN s.next <> 'queued' THEN s.hash END,
        revision = r.revision + 1,
        updated_at = clock_timestamp()
    FROM settled s
    WHERE r.id = s.id AND r.fence = s.fence AND r.worker_id = s.worker_id AND r.status IN ('claimed', 'running')
    RETURNING r.id, r.tenant_id, r.session_id, r.status, r.fence, r.worker_id, r.claimed_at, r.started_at, r.traceparent,
              s.attempt AS ended_attempt, s.hash, s.error AS ended_error
),
-- What goes on to another grant keeps the outcome of this one here.
kept AS (
    INSERT INTO ops.run_grants (run_id, fence, tenant_id, worker_id, attempt, claimed_at, started_at, outcome_source,
                                outcome_hash, error)
    SELECT id, fence, tenant_id, worker_id, ended_attempt, claimed_at, started_at, 'worker', hash, ended_error::jsonb
    FROM ended
    WHERE status = 'queued'
),
answered AS (
    DELETE FROM ops.run_cancels c USING ended e WHERE c.run_id = e.id AND c.fence = e.fence
),
counted AS (
    INSERT INTO ops.session_deltas (tenant_id, session_id, succeeded, failed, cancelled)
    SELECT tenant_id, session_id, count(*) FILTER (WHERE status = 'succeeded'), count(*) FILTER (WHERE status = 'failed'),
           count(*) FILTER (WHERE status = 'cancelled')
    FROM ended
    WHERE status <> 'queued'
    GROUP BY tenant_id, session_id
),
fed AS (
    INSERT INTO ops.run_changes (tenant_id, run_ids)
    SELECT tenant_id, array_agg(id) FROM ended GROUP BY tenant_id
)
SELECT id AS "id!", status AS "status!", traceparent FROM ended
