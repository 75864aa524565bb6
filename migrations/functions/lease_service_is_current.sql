-- Whether a server checks leases; each server records that every second. While none does, no lease ends. When one does again, all
-- leases begin anew. A check in the future means that the clock has gone back since, and the next check notices it.
CREATE OR REPLACE FUNCTION ops.lease_service_is_current(checked_at timestamptz) RETURNS boolean
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT checked_at - clock_timestamp() BETWEEN interval '-5 s' AND interval '1 s' $$;
REVOKE EXECUTE ON FUNCTION ops.lease_service_is_current(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.lease_service_is_current(timestamptz) TO ops_engine;
