-- The whole database as one JSON document, in one snapshot. `last_result` and `last_error` are kept whole: the token in them
-- names the execution that made them.
SELECT jsonb_build_object(
    'runs', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'id', r.id, 'session', r.session_id, 'labels', r.labels, 'lane', r.lane, 'kind', r.kind, 'status', r.status,
            'wait_reason', r.wait_reason, 'attempt', r.attempt, 'max_attempts', r.max_attempts, 'fence', r.fence,
            'revision', r.revision, 'worker', r.worker_id, 'claimed_by', r.claimed_by, 'result', r.result, 'error', r.error,
            'outcome_source', r.outcome_source, 'cancel_requested', r.cancel_requested_at IS NOT NULL,
            'cancel_confirmed', r.cancel_confirmed) ORDER BY r.id)
        FROM ops.runs r), '[]'),
    'grants', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'run', g.run_id, 'fence', g.fence, 'worker', g.worker_id, 'attempt', g.attempt,
            'outcome_source', g.outcome_source, 'error', g.error) ORDER BY g.run_id, g.fence)
        FROM ops.run_grants g), '[]'),
    'sessions', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'id', s.id, 'status', s.status,
            'total', s.total_runs + coalesce(d.total, 0),
            'succeeded', s.succeeded_runs + coalesce(d.succeeded, 0),
            'failed', s.failed_runs + coalesce(d.failed, 0),
            'cancelled', s.cancelled_runs + coalesce(d.cancelled, 0)) ORDER BY s.id)
        FROM ops.sessions s
        LEFT JOIN (
            SELECT session_id, sum(total)::bigint AS total, sum(succeeded)::bigint AS succeeded,
                   sum(failed)::bigint AS failed, sum(cancelled)::bigint AS cancelled
            FROM ops.session_deltas GROUP BY session_id) d ON d.session_id = s.id), '[]')
)::text
