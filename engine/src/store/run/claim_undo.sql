-- Releases the runs of a claim whose answer was lost, so no worker knows of them. No attempt is spent. Runs that another transaction
-- has locked stay claimed.
WITH lost AS MATERIALIZED (
    SELECT r.id,
           ops.run_next('released', r.status = 'running', r.cancel_requested_at IS NOT NULL, r.attempt, r.max_attempts) AS next
    FROM ops.runs r
    WHERE r.id = ANY (ARRAY(SELECT unnest(run_ids) FROM ops.run_leases)) AND r.server_id = $1 AND r.claim_number = $2
      AND r.status IN ('claimed', 'running')
    FOR NO KEY UPDATE SKIP LOCKED
),
changed AS (
    UPDATE ops.runs r
    SET status = l.next,
        attempt = r.attempt - (r.status = 'running')::int,
        started_at = NULL,
        finished_at = CASE WHEN l.next = 'cancelled' THEN clock_timestamp() END,
        cancel_confirmed = CASE WHEN l.next = 'cancelled' THEN true END,
        outcome_source = CASE WHEN l.next = 'cancelled' THEN 'cancel' END,
        revision = r.revision + 1,
        updated_at = clock_timestamp()
    FROM lost l
    WHERE r.id = l.id AND r.server_id = $1 AND r.claim_number = $2 AND r.status IN ('claimed', 'running')
    RETURNING r.id, r.tenant_id, r.session_id, r.lane, r.kind, r.priority, r.run_after, r.status, r.wait_reason, r.fence,
              r.cancel_requested_at
),
queued AS (
    INSERT INTO ops.run_queue (tenant_id, lane, kind, priority, run_after, run_id, fence)
    SELECT tenant_id, lane, kind, priority, run_after, id, fence FROM changed WHERE status = 'queued' AND wait_reason IS NULL
),
-- An order that another transaction keeps locked is deleted later (`run_cancel_unconfirmed`).
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
SELECT count(*) AS "released!" FROM changed
