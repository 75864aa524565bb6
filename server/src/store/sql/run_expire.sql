-- Ends the leases of workers that are not heard of any more. What was not begun is offered again and no attempt is spent;
-- what ran is offered again if it has attempts left, and failed otherwise. Nothing ends while the lease service is not
-- current, or sooner than a lease after it resumed.
WITH overdue AS MATERIALIZED (
    SELECT r.id
    FROM ops.runs r
    CROSS JOIN ops.lease_service s
    WHERE r.held
      AND s.round_at > clock_timestamp() - interval '5 s'
      AND greatest(r.heartbeat_at, s.resumed_at) + r.lease_ms * interval '1 ms' < clock_timestamp()
),
expired AS MATERIALIZED (
    SELECT r.id, r.fence, r.status, r.heartbeat_at, r.cancel_requested_at IS NOT NULL AS cancel_requested,
           CASE
               WHEN r.status = 'claimed' THEN 'queued'
               WHEN r.cancel_requested_at IS NOT NULL THEN 'cancelled'
               WHEN r.attempt < r.max_attempts THEN 'queued'
               ELSE 'failed'
           END AS next,
           jsonb_build_object(
               'type', 'HeartbeatTimeout',
               'message', format('no heartbeat from worker %s for %s s', r.claimed_by, trim_scale(r.lease_ms / 1000.0)),
               'stack', '',
               'context', jsonb_build_object('worker_id', r.worker_id, 'attempt', r.attempt,
                                             'last_heartbeat', r.heartbeat_at)) AS error
    FROM ops.runs r
    CROSS JOIN ops.lease_service s
    -- Again, for a heartbeat that came meanwhile.
    WHERE r.id = ANY (ARRAY(SELECT id FROM overdue ORDER BY id LIMIT 1000))
      AND r.status IN ('claimed', 'running')
      AND greatest(r.heartbeat_at, s.resumed_at) + r.lease_ms * interval '1 ms' < clock_timestamp()
    ORDER BY r.id
    FOR NO KEY UPDATE OF r SKIP LOCKED
),
ended AS (
    UPDATE ops.runs r
    SET status = e.next,
        held = false,
        claimable = (e.next = 'queued'),
        run_after = CASE WHEN e.next = 'queued' THEN clock_timestamp() ELSE r.run_after END,
        started_at = CASE WHEN e.next = 'queued' THEN NULL ELSE r.started_at END,
        finished_at = CASE WHEN e.next <> 'queued' THEN clock_timestamp() END,
        error = CASE WHEN e.status = 'running' THEN e.error ELSE r.error END,
        cancel_confirmed = CASE WHEN e.next = 'cancelled' THEN false END,
        outcome_source = CASE WHEN e.next <> 'queued' THEN 'recovery' END,
        revision = r.revision + 1,
        updated_at = clock_timestamp()
    FROM expired e
    WHERE r.id = e.id AND r.fence = e.fence AND r.status = e.status
    RETURNING r.id, r.tenant_id, r.session_id, r.status, r.fence, r.worker_id, r.attempt, r.claimed_at, e.status AS was, e.error
),
kept AS (
    INSERT INTO ops.run_grants (run_id, fence, tenant_id, worker_id, attempt, claimed_at, outcome_source, error)
    SELECT id, fence, tenant_id, worker_id, attempt, claimed_at, 'recovery', CASE WHEN was = 'running' THEN error END
    FROM ended
    WHERE status = 'queued'
),
-- Should the worker still have a stream, it is told.
told AS (
    INSERT INTO ops.run_cancels (run_id, fence, tenant_id, worker_id, kind, grace_ms)
    SELECT id, fence, tenant_id, worker_id, 'revoke', 0 FROM ended
    ON CONFLICT (run_id, fence) DO UPDATE SET kind = 'revoke', requested_at = now()
),
counted AS (
    INSERT INTO ops.session_deltas (tenant_id, session_id, failed, cancelled)
    SELECT tenant_id, session_id, count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'cancelled')
    FROM ended
    WHERE status <> 'queued'
    GROUP BY tenant_id, session_id
),
fed AS (
    INSERT INTO ops.run_changes (tenant_id, run_ids)
    SELECT tenant_id, array_agg(id) FROM ended GROUP BY tenant_id
)
SELECT id AS "id!", status AS "status!", was AS "was!" FROM ended
