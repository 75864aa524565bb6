-- Whether some server looks after leases: it says so each second. While none does, no lease ends; when one does again, leases begin anew.
CREATE OR REPLACE FUNCTION ops.lease_service_is_current(checked_at timestamptz) RETURNS boolean
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT checked_at > clock_timestamp() - interval '5 s' $$;
REVOKE EXECUTE ON FUNCTION ops.lease_service_is_current(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.lease_service_is_current(timestamptz) TO ops_engine;
