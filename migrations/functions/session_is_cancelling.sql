-- Whether a cancelled session has runs that have not ended. The index sessions_cancelling has these sessions.
CREATE OR REPLACE FUNCTION ops.session_is_cancelling(session ops.sessions) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT session.status = 'cancelled'
            AND session.total_runs > session.succeeded_runs + session.failed_runs + session.cancelled_runs
    $$;
REVOKE EXECUTE ON FUNCTION ops.session_is_cancelling(ops.sessions) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.session_is_cancelling(ops.sessions) TO ops_engine;
