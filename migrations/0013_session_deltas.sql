-- A row in session_deltas does not ask for the lock of its session any more: who keeps a session locked would hold up all reports,
-- give-backs, cancels and ended leases of its runs. A writer of one holds the lock of a run of the session, or of the session itself, so
-- none comes after the session was deleted with its runs.
ALTER TABLE ops.session_deltas DROP CONSTRAINT session_deltas_session_id_fkey;

-- A session takes its runs with it, and then what they have counted.
CREATE OR REPLACE FUNCTION ops.sessions_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        DELETE FROM ops.runs WHERE session_id = ANY (ARRAY(SELECT id FROM deleted));
        DELETE FROM ops.session_deltas WHERE session_id = ANY (ARRAY(SELECT id FROM deleted));
        RETURN NULL;
    END
    $$;
