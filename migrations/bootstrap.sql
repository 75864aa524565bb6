-- The roles and the schema, which the first migration needs. The role that migrates runs this at each start. It does only what is
-- missing, so a role that may do nothing of it can migrate a database where all of it is there. What the role may not do is asked for in
-- one message, with the statements for somebody who may.
--
-- Roles belong to the whole cluster, so the migrations of two databases may race for them; the loser finds them made and goes on.
DO $$
DECLARE
    role_name  text;
    -- Since PostgreSQL 16 a role that made another one is a member that may not become it.
    may_become text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    missing    text[] := '{}';
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ops_owner', 'ops_engine', 'ops_authenticated', 'ops_anon'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;
                WHEN insufficient_privilege THEN
                    missing := missing || format('CREATE ROLE %I NOLOGIN', role_name);
            END;
        END IF;
    END LOOP;
    -- This role must be able to become ops_owner to migrate, and ops_engine to serve.
    FOREACH role_name IN ARRAY ARRAY['ops_owner', 'ops_engine'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            missing := missing || format('GRANT %I TO %I', role_name, current_user);
        ELSIF NOT pg_has_role(current_user, role_name, may_become) THEN
            BEGIN
                EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
            EXCEPTION WHEN insufficient_privilege OR invalid_grant_operation THEN
                missing := missing || format('GRANT %I TO %I', role_name, current_user);
            END;
        END IF;
    END LOOP;
    -- Not by IF NOT EXISTS: that needs the right to create schemas even if the schema is there.
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'ops') THEN
        BEGIN
            CREATE SCHEMA ops AUTHORIZATION ops_owner;
        EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
            missing := missing || 'CREATE SCHEMA ops AUTHORIZATION ops_owner'::text;
        END;
    END IF;
    IF cardinality(missing) > 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('role %I may not make what is missing; as a superuser, in database %I: %s;',
                             current_user, current_database(), array_to_string(missing, '; '));
    END IF;
END
$$;
