-- Folds the deltas of locked sessions, and completes closed sessions whose runs have all ended. The snapshot of this statement is newer
-- than the lock, so it sees every enqueue that came before the session was closed.
WITH folded AS (
    DELETE FROM ops.session_deltas d WHERE d.session_id = ANY ($1::uuid[])
    RETURNING d.session_id, d.total, d.succeeded, d.failed, d.cancelled
),
-- A GROUP BY and not a join, which would be slow with many deltas and many sessions.
sums AS MATERIALIZED (
    SELECT session_id AS id, sum(total)::bigint AS total, sum(succeeded)::bigint AS succeeded,
           sum(failed)::bigint AS failed, sum(cancelled)::bigint AS cancelled
    FROM (
        SELECT session_id, total, succeeded, failed, cancelled FROM folded
        UNION ALL
        SELECT due.id, 0, 0, 0, 0 FROM unnest($1::uuid[]) AS due (id)
    ) d
    GROUP BY session_id
),
updated AS (
    UPDATE ops.sessions s
    SET total_runs = s.total_runs + n.total,
        succeeded_runs = s.succeeded_runs + n.succeeded,
        failed_runs = s.failed_runs + n.failed,
        cancelled_runs = s.cancelled_runs + n.cancelled,
        status = CASE
            WHEN s.status = 'active' AND s.closed_at IS NOT NULL
                 AND s.total_runs + n.total = s.succeeded_runs + s.failed_runs + s.cancelled_runs
                                              + n.succeeded + n.failed + n.cancelled
            THEN 'completed'
            ELSE s.status
        END,
        updated_at = clock_timestamp()
    FROM sums n
    WHERE s.id = n.id
    RETURNING s.status = 'completed' AS completed
)
SELECT count(*) AS "sessions!", count(*) FILTER (WHERE completed) AS "completed!" FROM updated
