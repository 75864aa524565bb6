-- Records that a server checks leases, when the checks resumed if there was a gap, and whether the clock has gone back. Then it finds the
-- work that there is, with the functions that the repairs use too. Each server runs this once a second; an idle system runs nothing else.
-- $1 and $2 are the workers that have streams at this server, and the epochs of these streams.
--
-- The statement does not wait for another server that updates the row at this moment. While a foreign lock holds the row, no server can
-- update it, and after 5 s no lease ends (`ops.lease_service_is_current`). The statement still finds the rest of the work.
WITH free AS MATERIALIZED (
    SELECT checked_at > clock_timestamp() + interval '1 s' AS set_back FROM ops.lease_service FOR NO KEY UPDATE SKIP LOCKED
),
checked AS (
    UPDATE ops.lease_service
    SET resumed_at = CASE WHEN ops.lease_service_is_current(checked_at) THEN resumed_at ELSE clock_timestamp() END,
        checked_at = clock_timestamp(),
        set_back_at = CASE WHEN free.set_back THEN clock_timestamp() ELSE set_back_at END,
        is_set_back = is_set_back OR free.set_back
    FROM free
    RETURNING resumed_at, resumed_at = checked_at AS resumed, is_set_back
),
service AS (
    SELECT resumed_at, resumed, is_set_back FROM checked
    UNION ALL
    SELECT resumed_at, false, is_set_back FROM ops.lease_service WHERE NOT EXISTS (SELECT FROM free)
),
workers AS (
    SELECT coalesce(bool_or(ops.lease_ends_at(w.heartbeat_at, s.resumed_at, w.lease_ms) < clock_timestamp()), false) AS lost,
           coalesce(bool_or(w.drain_requested_at IS NOT NULL), false) AS draining
    FROM service s
    CROSS JOIN ops.workers w
    WHERE w.state IN ('active', 'disconnected')
)
SELECT clock_timestamp() AS "now!",
       s.resumed AS "resumed!",
       s.is_set_back AS "set_back!",
       EXISTS (SELECT FROM ops.run_queue) AS "claimable!",
       EXISTS (SELECT FROM ops.runs r WHERE ops.run_is_due(r)) AS "due!",
       EXISTS (SELECT FROM ops.run_leases WHERE due_at < now()) OR w.lost AS "overdue!",
       w.draining OR EXISTS (SELECT FROM ops.run_cancels) AS "orders!",
       EXISTS (SELECT FROM unnest($1::uuid[], $2::bigint[]) AS stream (worker_id, epoch)
               WHERE NOT EXISTS (SELECT FROM ops.workers o
                                 WHERE o.id = stream.worker_id AND o.stream_epoch = stream.epoch)) AS "replaced!",
       EXISTS (SELECT FROM ops.run_cancels c
               WHERE c.kind = 'cancel' AND ops.cancel_ends_at(c.requested_at, s.resumed_at, c.grace_ms) < clock_timestamp())
           OR EXISTS (SELECT FROM ops.sessions AS session WHERE ops.session_is_cancelling(session)) AS "unfinished_cancels!",
       EXISTS (SELECT FROM ops.session_deltas)
           OR EXISTS (SELECT FROM ops.sessions AS session WHERE ops.session_is_done(session)) AS "counters!",
       pg_stat_get_dead_tuples('ops.run_queue'::regclass) > 20000 AS "littered!"
FROM service s
CROSS JOIN workers w
