-- Takes deleted runs out of the queue. Their watchers see that within a second, or at once (wake.sql).
CREATE OR REPLACE FUNCTION ops.runs_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        DELETE FROM ops.run_queue
            WHERE ctid = ANY (ARRAY(
                SELECT q.ctid
                FROM deleted d
                CROSS JOIN LATERAL (
                    SELECT ctid FROM ops.run_queue
                    WHERE tenant_id = d.tenant_id AND lane = d.lane AND kind = d.kind AND priority = d.priority
                      AND run_after = d.run_after AND run_id = d.id
                    LIMIT 1) q));
        INSERT INTO ops.run_changes (tenant_id, run_ids)
            SELECT tenant_id, array_agg(id) FROM deleted GROUP BY tenant_id;
        PERFORM ops.wake('ops_changes');
        RETURN NULL;
    END
    $$;
REVOKE EXECUTE ON FUNCTION ops.runs_deleted() FROM PUBLIC;
