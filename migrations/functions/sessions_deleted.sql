-- Deletes the runs of deleted sessions, and their counter rows.
CREATE OR REPLACE FUNCTION ops.sessions_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        DELETE FROM ops.runs WHERE session_id = ANY (ARRAY(SELECT id FROM deleted));
        DELETE FROM ops.session_deltas WHERE session_id = ANY (ARRAY(SELECT id FROM deleted));
        RETURN NULL;
    END
    $$;
REVOKE EXECUTE ON FUNCTION ops.sessions_deleted() FROM PUBLIC;
