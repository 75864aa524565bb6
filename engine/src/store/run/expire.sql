-- Ends leases that are over. The run is queued again while it has attempts left, and fails otherwise. A claimed run counts as started: its
-- start is written late, so its worker may have been sent a Start. A server that knows that it was not gives the run back, before its
-- lease ends. No lease ends while the lease service is not current, or sooner than its length after the service resumed.
WITH due AS MATERIALIZED (
    SELECT l.worker_id, l.id, l.run_ids
    FROM ops.run_leases l
    CROSS JOIN ops.lease_service s
    WHERE l.due_at < now() AND ops.lease_service_is_current(s.checked_at)
    ORDER BY l.due_at
    LIMIT $1
    FOR UPDATE OF l SKIP LOCKED
),
checked AS MATERIALIZED (
    SELECT d.worker_id, d.id, h.run_ids, h.ends_at
    FROM due d
    CROSS JOIN ops.lease_service s
    CROSS JOIN LATERAL (
        SELECT array_agg(r.id) AS run_ids, min(ops.lease_ends_at(r.heartbeat_at, s.resumed_at, r.lease_ms)) AS ends_at
        FROM ops.runs r
        WHERE r.id = ANY (d.run_ids) AND r.worker_id = d.worker_id AND r.status IN ('claimed', 'running')) h
),
deleted AS (
    DELETE FROM ops.run_leases l USING checked a WHERE l.worker_id = a.worker_id AND l.id = a.id AND a.run_ids IS NULL
),
-- The next check of runs that are still held is when their lease would end, or soon if this statement could not end it.
rescheduled AS (
    UPDATE ops.run_leases l
    SET run_ids = a.run_ids,
        due_at = least(greatest(a.ends_at, clock_timestamp() + interval '100 ms'), clock_timestamp() + interval '30 s')
    FROM checked a
    WHERE l.worker_id = a.worker_id AND l.id = a.id AND a.run_ids IS NOT NULL
),
expired AS MATERIALIZED (
    SELECT r.id, r.fence, r.status, a.attempt,
           ops.run_next('lost', true, r.cancel_requested_at IS NOT NULL, a.attempt, r.max_attempts) AS next,
           jsonb_build_object(
               'type', 'HeartbeatTimeout',
               'message', format('no heartbeat from worker %s for %s s', r.claimed_by, trim_scale(r.lease_ms / 1000.0)),
               'stack', '',
               'context', jsonb_build_object('worker_id', r.worker_id, 'attempt', a.attempt,
                                             'last_heartbeat', r.heartbeat_at)) AS error
    FROM ops.runs r
    CROSS JOIN ops.lease_service s
    CROSS JOIN LATERAL (SELECT r.attempt + (r.status = 'claimed')::int AS attempt) a
    -- Checked again under the lock: a heartbeat may have come.
    WHERE r.id = ANY (ARRAY(SELECT unnest(run_ids) FROM checked WHERE ends_at < clock_timestamp()))
      AND r.status IN ('claimed', 'running')
      AND ops.lease_ends_at(r.heartbeat_at, s.resumed_at, r.lease_ms) < clock_timestamp()
    ORDER BY r.id
    FOR NO KEY UPDATE OF r SKIP LOCKED
),
changed AS (
    UPDATE ops.runs r
    SET status = e.next,
        attempt = e.attempt,
        run_after = CASE WHEN e.next = 'queued' THEN clock_timestamp() ELSE r.run_after END,
        started_at = CASE WHEN e.next = 'queued' THEN NULL ELSE r.started_at END,
        finished_at = CASE WHEN e.next <> 'queued' THEN clock_timestamp() END,
        error = e.error,
        cancel_confirmed = CASE WHEN e.next = 'cancelled' THEN false END,
        outcome_source = CASE WHEN e.next <> 'queued' THEN 'recovery' END,
        revision = r.revision + 1,
        updated_at = clock_timestamp()
    FROM expired e
    WHERE r.id = e.id AND r.fence = e.fence AND r.status = e.status
    RETURNING r.id, r.tenant_id, r.session_id, r.lane, r.kind, r.priority, r.run_after, r.status, r.wait_reason,
              r.fence, r.worker_id, r.attempt, r.claimed_at, e.error
),
kept AS (
    INSERT INTO ops.run_grants (run_id, fence, tenant_id, worker_id, attempt, claimed_at, outcome_source, error)
    SELECT id, fence, tenant_id, worker_id, attempt, claimed_at, 'recovery', error
    FROM changed
    WHERE status = 'queued'
),
-- A worker that still has a stream learns that it has lost the run. A cancel that another transaction has locked stays as it is;
-- `run_cancel_unconfirmed` deletes it later.
ordered AS (
    INSERT INTO ops.run_cancels (run_id, fence, tenant_id, worker_id, kind, grace_ms)
    SELECT id, fence, tenant_id, worker_id, 'revoke', 0 FROM changed
    ON CONFLICT (run_id, fence) DO NOTHING
),
cancels AS MATERIALIZED (
    SELECT o.run_id, o.fence
    FROM changed c
    CROSS JOIN LATERAL (
        SELECT run_id, fence FROM ops.run_cancels WHERE run_id = c.id AND fence = c.fence FOR UPDATE SKIP LOCKED) o
),
sent_again AS (
    UPDATE ops.run_cancels c SET kind = 'revoke', requested_at = now()
    FROM cancels l WHERE c.run_id = l.run_id AND c.fence = l.fence
),
queued AS (
    INSERT INTO ops.run_queue (tenant_id, lane, kind, priority, run_after, run_id, fence)
    SELECT tenant_id, lane, kind, priority, run_after, id, fence FROM changed WHERE status = 'queued' AND wait_reason IS NULL
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
SELECT (SELECT count(*) FROM checked) AS "checked!", count(*) FILTER (WHERE status = 'queued') AS "requeued!",
       count(*) FILTER (WHERE status <> 'queued') AS "ended!"
FROM changed
