-- The tenant whose rows the session may see: the JWT claim that PostgREST sets, or else the setting `ops.tenant_id`. Without a tenant
-- it is NULL, and no row is seen.
CREATE OR REPLACE FUNCTION ops.current_tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
        SELECT coalesce(
            NULLIF(current_setting('request.jwt.claims', true), '')::jsonb ->> 'tenant_id',
            NULLIF(current_setting('ops.tenant_id', true), ''))
    $$;
REVOKE EXECUTE ON FUNCTION ops.current_tenant() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.current_tenant() TO ops_engine, ops_authenticated, ops_anon;
