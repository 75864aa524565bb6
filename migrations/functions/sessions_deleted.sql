-- Deletes the runs of the sessions that were deleted.
CREATE OR REPLACE FUNCTION ops.sessions_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        DELETE FROM ops.runs WHERE session_id = ANY (ARRAY(SELECT id FROM deleted));
        RETURN NULL;
    END
    $$;
REVOKE EXECUTE ON FUNCTION ops.sessions_deleted() FROM PUBLIC;
