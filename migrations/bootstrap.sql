-- The roles and the schema, which the first migration needs. The role that migrates runs this at each start. Roles belong to the whole
-- cluster, so the migrations of two databases may race for them; the loser finds them made and goes on.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ops_owner', 'ops_engine', 'ops_authenticated', 'ops_anon'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
    -- This role must be able to become ops_owner to migrate, and ops_engine to serve.
    FOREACH role_name IN ARRAY ARRAY['ops_owner', 'ops_engine'] LOOP
        IF NOT pg_has_role(current_user, role_name, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
        END IF;
    END LOOP;
    -- Not by IF NOT EXISTS: that needs the right to create schemas even if the schema is there.
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'ops') THEN
        CREATE SCHEMA ops AUTHORIZATION ops_owner;
    END IF;
END
$$;
