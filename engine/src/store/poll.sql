-- Says that leases are looked after, and since when if nobody did for 5 s; and what there is to do. One statement a second and
-- server: an idle system asks for nothing else.
--
-- Another server that says it at this moment is not waited for. While somebody else keeps the row locked nobody says it, and after 5 s
-- no lease ends; all else that there is to do is found.
WITH free AS MATERIALIZED (
    SELECT checked_at FROM ops.lease_service FOR NO KEY UPDATE SKIP LOCKED
),
said AS (
    UPDATE ops.lease_service
    SET resumed_at = CASE WHEN checked_at < clock_timestamp() - interval '5 s' THEN clock_timestamp() ELSE resumed_at END,
        checked_at = clock_timestamp()
    WHERE EXISTS (SELECT FROM free)
    RETURNING resumed_at, resumed_at = checked_at AS resumed
),
service AS (
    SELECT resumed_at, resumed FROM said
    UNION ALL
    SELECT resumed_at, false FROM ops.lease_service WHERE NOT EXISTS (SELECT FROM free)
),
workers AS (
    SELECT coalesce(bool_or(greatest(w.heartbeat_at, s.resumed_at) + w.lease_ms * interval '1 ms' < clock_timestamp()), false)
               AS lost,
           coalesce(bool_or(w.drain_requested_at IS NOT NULL), false) AS draining
    FROM service s
    CROSS JOIN ops.workers w
    WHERE w.state IN ('active', 'disconnected')
)
SELECT s.resumed AS "resumed!",
       EXISTS (SELECT FROM ops.run_queue) AS "claimable!",
       EXISTS (SELECT FROM ops.runs r WHERE r.wait_reason IS NOT NULL AND r.run_after <= now()) AS "due!",
       EXISTS (SELECT FROM ops.run_leases WHERE due_at < now()) OR w.lost AS "overdue!",
       w.draining OR EXISTS (SELECT FROM ops.run_cancels) AS "orders!",
       EXISTS (SELECT FROM ops.run_cancels c
               WHERE c.kind = 'cancel'
                 AND greatest(c.requested_at, s.resumed_at) + c.grace_ms * interval '1 ms' + interval '5 s'
                     < clock_timestamp())
           OR EXISTS (SELECT FROM ops.sessions
                      WHERE status = 'cancelled' AND total_runs > succeeded_runs + failed_runs + cancelled_runs)
           AS "unfinished_cancels!",
       EXISTS (SELECT FROM ops.session_deltas)
           OR EXISTS (SELECT FROM ops.sessions
                      WHERE status = 'active' AND closed_at IS NOT NULL
                        AND total_runs = succeeded_runs + failed_runs + cancelled_runs) AS "counters!",
       pg_stat_get_dead_tuples('ops.run_queue'::regclass) > 20000 AS "littered!"
FROM service s
CROSS JOIN workers w
