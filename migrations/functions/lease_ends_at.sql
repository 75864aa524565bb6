-- When a lease ends or a worker is lost: `lease_ms` after the last heartbeat, or after the lease service resumed if that is later.
CREATE OR REPLACE FUNCTION ops.lease_ends_at(heartbeat_at timestamptz, resumed_at timestamptz, lease_ms bigint) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT greatest(heartbeat_at, resumed_at) + lease_ms * interval '1 ms' $$;
REVOKE EXECUTE ON FUNCTION ops.lease_ends_at(timestamptz, timestamptz, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.lease_ends_at(timestamptz, timestamptz, bigint) TO ops_engine;
