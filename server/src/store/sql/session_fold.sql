-- Sums up the deltas of locked sessions, and completes those that are closed and whose runs have all ended. Its snapshot is
-- taken after the lock, so that it sees every enqueue that came before the session was closed.
WITH folded AS (
    DELETE FROM ops.session_deltas d WHERE d.session_id = ANY ($1::uuid[])
    RETURNING d.session_id, d.total, d.succeeded, d.failed, d.cancelled
),
sums AS MATERIALIZED (
    SELECT due.id, coalesce(sum(f.total), 0)::bigint AS total, coalesce(sum(f.succeeded), 0)::bigint AS succeeded,
           coalesce(sum(f.failed), 0)::bigint AS failed, coalesce(sum(f.cancelled), 0)::bigint AS cancelled
    FROM unnest($1::uuid[]) AS due (id) LEFT JOIN folded f ON f.session_id = due.id
    GROUP BY due.id
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
