-- Whether the time of a waiting run has come. The index runs_waiting has the runs that wait.
CREATE OR REPLACE FUNCTION ops.run_is_due(run ops.runs) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT run.wait_reason IS NOT NULL AND run.run_after <= now() $$;
REVOKE EXECUTE ON FUNCTION ops.run_is_due(ops.runs) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.run_is_due(ops.runs) TO ops_engine;
