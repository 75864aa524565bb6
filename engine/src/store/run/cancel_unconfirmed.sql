-- Ends cancels that no worker confirmed in time (`ops.cancel_ends_at`), and revokes their grants. The work may still go on.
WITH due AS MATERIALIZED (
    SELECT c.run_id, c.fence
    FROM ops.run_cancels c
    CROSS JOIN ops.lease_service s
    WHERE c.kind = 'cancel'
      AND ops.lease_service_is_current(s.checked_at)
      AND ops.cancel_ends_at(c.requested_at, s.resumed_at, c.grace_ms) < clock_timestamp()
    ORDER BY c.run_id
    LIMIT 1000
    FOR UPDATE OF c SKIP LOCKED
),
locked AS MATERIALIZED (
    SELECT r.id
    FROM due d
    CROSS JOIN LATERAL (
        SELECT id FROM ops.runs WHERE id = d.run_id AND fence = d.fence AND status IN ('claimed', 'running')
        FOR NO KEY UPDATE SKIP LOCKED) r
),
changed AS (
    UPDATE ops.runs r
    SET status = 'cancelled',
        -- A start that is not written yet counts.
        attempt = r.attempt + (r.status = 'claimed')::int,
        finished_at = clock_timestamp(),
        cancel_confirmed = false,
        outcome_source = 'cancel',
        revision = r.revision + 1,
        updated_at = clock_timestamp()
    WHERE r.id = ANY (ARRAY(SELECT id FROM locked)) AND r.status IN ('claimed', 'running')
    RETURNING r.id, r.tenant_id, r.session_id, r.status, r.fence
),
ordered AS (
    UPDATE ops.run_cancels o SET kind = 'revoke', requested_at = now() FROM changed c WHERE o.run_id = c.id AND o.fence = c.fence
),
-- A report or a release that ran at the same time as the cancel could not see the order, and left it here.
overtaken AS (
    DELETE FROM ops.run_cancels c USING due d
    WHERE c.run_id = d.run_id AND c.fence = d.fence
      AND NOT EXISTS (SELECT FROM ops.runs r WHERE r.id = d.run_id AND r.fence = d.fence AND r.status IN ('claimed', 'running'))
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
