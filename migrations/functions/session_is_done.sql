-- Whether a session can be completed: it is closed and all of its runs have ended. The index sessions_closing has the closed ones.
CREATE OR REPLACE FUNCTION ops.session_is_done(session ops.sessions) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT session.status = 'active' AND session.closed_at IS NOT NULL
            AND session.total_runs = session.succeeded_runs + session.failed_runs + session.cancelled_runs
    $$;
REVOKE EXECUTE ON FUNCTION ops.session_is_done(ops.sessions) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.session_is_done(ops.sessions) TO ops_engine;
