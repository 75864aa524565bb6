-- Ends cancels that no worker confirmed within their grace and 5 s more: the lease is revoked, and whether the work has
-- stopped is not known. An outage does not count.
WITH due AS MATERIALIZED (
    SELECT c.run_id, c.fence
    FROM ops.run_cancels c
    CROSS JOIN ops.lease_service s
    WHERE c.kind = 'cancel'
      AND s.checked_at > clock_timestamp() - interval '5 s'
      AND greatest(c.requested_at, s.resumed_at) + c.grace_ms * interval '1 ms' + interval '5 s' < clock_timestamp()
    ORDER BY c.run_id
    LIMIT 1000
    FOR UPDATE OF c SKIP LOCKED
),
locked AS MATERIALIZED (
    SELECT r.id
    FROM due d
    CROSS JOIN LATERAL (
        SELECT id FROM ops.runs WHERE id = d.run_id AND fence = d.fence AND status = 'running'
        FOR NO KEY UPDATE SKIP LOCKED) r
),
ended AS (
    UPDATE ops.runs r
    SET status = 'cancelled',
        finished_at = clock_timestamp(),
        cancel_confirmed = false,
        outcome_source = 'cancel',
        revision = r.revision + 1,
        updated_at = clock_timestamp()
    WHERE r.id = ANY (ARRAY(SELECT id FROM locked)) AND r.status = 'running'
    RETURNING r.id, r.tenant_id, r.session_id, r.fence
),
told AS (
    UPDATE ops.run_cancels c SET kind = 'revoke', requested_at = now() FROM ended e WHERE c.run_id = e.id AND c.fence = e.fence
),
-- A cancel that came while its run was being reported or given back is answered: that statement could not see its order yet.
answered AS (
    DELETE FROM ops.run_cancels c USING due d
    WHERE c.run_id = d.run_id AND c.fence = d.fence
      AND NOT EXISTS (SELECT FROM ops.runs r WHERE r.id = d.run_id AND r.fence = d.fence AND r.status = 'running')
),
counted AS (
    INSERT INTO ops.session_deltas (tenant_id, session_id, cancelled)
    SELECT tenant_id, session_id, count(*) FROM ended GROUP BY tenant_id, session_id
),
fed AS (
    INSERT INTO ops.run_changes (tenant_id, run_ids)
    SELECT tenant_id, array_agg(id) FROM ended GROUP BY tenant_id
)
SELECT id AS "id!" FROM ended
