-- What must be there before the first migration, run at each start by the role that migrates. Roles belong to the whole
-- cluster, so two databases may race for them: losing that race is fine.
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
    -- Who migrates must be able to become the owner, and who serves the engine.
    FOREACH role_name IN ARRAY ARRAY['ops_owner', 'ops_engine'] LOOP
        IF NOT pg_has_role(current_user, role_name, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
        END IF;
    END LOOP;
END
$$;
CREATE SCHEMA IF NOT EXISTS ops AUTHORIZATION ops_owner;
