-- When a cancel that no worker confirmed ends: after its grace, and 5 s more for the report to arrive. An outage does not count.
CREATE OR REPLACE FUNCTION ops.cancel_ends_at(requested_at timestamptz, resumed_at timestamptz, grace_ms bigint) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT greatest(requested_at, resumed_at) + grace_ms * interval '1 ms' + interval '5 s' $$;
REVOKE EXECUTE ON FUNCTION ops.cancel_ends_at(timestamptz, timestamptz, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.cancel_ends_at(timestamptz, timestamptz, bigint) TO ops_engine;
