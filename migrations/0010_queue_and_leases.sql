-- What is looked for all the time moves out of `runs`, so that no column which changes while a run is claimed and reported is in
-- an index of it: both updates are heap-only (docs/decisions/what-a-run-costs.md).

-- The runs that can be claimed, in the order in which they are. Only who holds the lock of a run adds or removes its row. Rows
-- are added and removed, never changed.
CREATE TABLE ops.run_queue (
    tenant_id  text NOT NULL,
    lane       ops.lane_type NOT NULL,
    kind       text NOT NULL,
    priority   int NOT NULL,
    run_after  timestamptz NOT NULL,
    run_id     uuid NOT NULL,
    -- Of the run as it was queued: a row that was missed can not stand for a later queuing.
    fence      bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0,
        vacuum_truncate = false);
-- The kind leads within the lane, so that runs of other kinds in front cost nothing.
CREATE UNIQUE INDEX run_queue_order ON ops.run_queue (tenant_id, lane, kind, priority DESC, run_after, run_id);

-- Which runs a claim gave to a worker, and when to look at them again: whether they are still held, and by a living worker. A row
-- is forgotten when none of them is.
CREATE TABLE ops.run_leases (
    id         bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id  text NOT NULL,
    worker_id  uuid NOT NULL,
    due_at     timestamptz NOT NULL,
    run_ids    uuid[] NOT NULL,
    PRIMARY KEY (worker_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX run_leases_due ON ops.run_leases (due_at);

INSERT INTO ops.run_queue (tenant_id, lane, kind, priority, run_after, run_id, fence)
    SELECT tenant_id, lane, kind, priority, run_after, id, fence FROM ops.runs WHERE claimable;
INSERT INTO ops.run_leases (tenant_id, worker_id, due_at, run_ids)
    SELECT tenant_id, worker_id, now(), array_agg(id) FROM ops.runs WHERE held GROUP BY tenant_id, worker_id;

ALTER TABLE ops.run_queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE ops.run_leases ENABLE ROW LEVEL SECURITY;
CREATE POLICY engine ON ops.run_queue TO ops_engine USING (true) WITH CHECK (true);
CREATE POLICY engine ON ops.run_leases TO ops_engine USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.run_queue, ops.run_leases TO ops_engine;

DROP INDEX ops.runs_ready, ops.runs_held;
ALTER TABLE ops.runs
    -- Said by status and wait_reason: a run can be claimed if it is queued and waits for nothing.
    DROP COLUMN claimable,
    DROP COLUMN held,
    ADD CONSTRAINT runs_grant_check CHECK (status NOT IN ('claimed', 'running')
        OR (worker_id IS NOT NULL AND lease_ms IS NOT NULL AND heartbeat_at IS NOT NULL)),
    -- Whoever enqueues holds a lock on the session, which is what this would ask for again for each run.
    DROP CONSTRAINT runs_session_id_fkey,
    -- A page has room for a run as it is enqueued, claimed and reported, with nothing swept in between.
    SET (fillfactor = 30);

-- Ids that were just made are not to be compressed.
ALTER TABLE ops.run_changes ALTER COLUMN run_ids SET STORAGE EXTERNAL, ALTER COLUMN event_run_ids SET STORAGE EXTERNAL;
ALTER TABLE ops.run_leases ALTER COLUMN run_ids SET STORAGE EXTERNAL;

-- A session takes its runs with it.
CREATE FUNCTION ops.sessions_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        DELETE FROM ops.runs WHERE session_id = ANY (ARRAY(SELECT id FROM deleted));
        RETURN NULL;
    END
    $$;
CREATE TRIGGER sessions_deleted AFTER DELETE ON ops.sessions
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION ops.sessions_deleted();

-- Runs that are deleted leave the queue, and reach the watchers too.
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
        PERFORM pg_notify('ops_changes', '');
        RETURN NULL;
    END
    $$;
REVOKE EXECUTE ON FUNCTION ops.sessions_deleted(), ops.runs_deleted() FROM PUBLIC;

-- As before, with the queue. Enqueues a run inside the caller's own transaction: commit = enqueued, rollback = gone. The tenant is
-- that of the session's settings (ops.current_tenant). The same request_id again within 24 hours returns the first run.
CREATE OR REPLACE FUNCTION ops.enqueue_run(
    session_id    uuid,
    lane          ops.lane_type,
    kind          text,
    params        jsonb DEFAULT '{}',
    priority      int DEFAULT 0,
    labels        jsonb DEFAULT '{}',
    max_attempts  int DEFAULT 1,
    timeout       interval DEFAULT NULL,
    run_after     timestamptz DEFAULT NULL,
    request_id    text DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    #variable_conflict use_variable
    DECLARE
        tenant      text := ops.current_tenant();
        new_id      uuid := gen_random_uuid();
        first_hash  bytea;
        first_ids   uuid[];
        payload     bytea;
        later       boolean := coalesce(run_after > now(), false);
    BEGIN
        IF tenant IS NULL THEN
            RAISE EXCEPTION 'no tenant is set' USING ERRCODE = 'insufficient_privilege',
                HINT = 'SET ops.tenant_id = ''default''';
        END IF;
        -- The bounds that the server sets to its own callers; what the table bounds is left to the table.
        IF octet_length(params::text) > 1048576 THEN
            RAISE EXCEPTION 'params: expected 1 MiB at most' USING ERRCODE = 'check_violation';
        END IF;
        IF timeout <= interval '0' OR timeout > interval '30 days' THEN
            RAISE EXCEPTION 'timeout: expected more than 0 and up to 30 days' USING ERRCODE = 'check_violation';
        END IF;
        IF jsonb_typeof(labels) = 'object' AND EXISTS (
            SELECT FROM jsonb_each(labels) WITH ORDINALITY AS l (key, value, place)
            WHERE place > 32 OR char_length(key) NOT BETWEEN 1 AND 63 OR jsonb_typeof(value) <> 'string'
               OR char_length(value #>> '{}') > 255) THEN
            RAISE EXCEPTION 'labels: expected up to 32, keys of 1 to 63 characters, texts of up to 255'
                USING ERRCODE = 'check_violation';
        END IF;
        IF request_id IS NOT NULL THEN
            payload := sha256(convert_to(jsonb_build_array(
                session_id, lane, kind, params, priority, labels, max_attempts,
                extract(epoch FROM timeout), extract(epoch FROM run_after))::text, 'UTF8'));
            INSERT INTO ops.request_ids (tenant_id, scope, request_id, payload_hash, resource_ids)
                VALUES (tenant, 'ops.enqueue_run', request_id, payload, ARRAY[new_id])
                ON CONFLICT DO NOTHING;
            IF NOT FOUND THEN
                SELECT r.payload_hash, r.resource_ids INTO first_hash, first_ids FROM ops.request_ids r
                    WHERE r.tenant_id = tenant AND r.scope = 'ops.enqueue_run' AND r.request_id = enqueue_run.request_id;
                IF first_hash IS DISTINCT FROM payload THEN
                    RAISE EXCEPTION 'request_id was used with another payload' USING ERRCODE = 'unique_violation';
                END IF;
                RETURN first_ids[1];
            END IF;
        END IF;

        -- The key lock conflicts with the lock under which a session is closed, so no run slips into a closed one.
        PERFORM FROM ops.sessions s
            WHERE s.id = session_id AND s.tenant_id = tenant AND s.closed_at IS NULL
            FOR KEY SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'session % does not exist or takes no more runs', session_id
                USING ERRCODE = 'foreign_key_violation';
        END IF;

        INSERT INTO ops.runs (id, tenant_id, session_id, lane, kind, params, priority, labels, max_attempts, timeout_ms,
                              run_after, wait_reason)
            VALUES (new_id, tenant, session_id, lane, kind, params, priority, labels, max_attempts,
                    (extract(epoch FROM timeout) * 1000)::bigint, coalesce(run_after, now()),
                    CASE WHEN later THEN 'scheduled' END);
        IF NOT later THEN
            INSERT INTO ops.run_queue (tenant_id, lane, kind, priority, run_after, run_id, fence)
                VALUES (tenant, lane, kind, priority, coalesce(run_after, now()), new_id, 0);
        END IF;
        INSERT INTO ops.session_deltas (tenant_id, session_id, total) VALUES (tenant, session_id, 1);
        INSERT INTO ops.run_changes (tenant_id, run_ids) VALUES (tenant, ARRAY[new_id]);
        PERFORM pg_notify('ops_work', '');
        PERFORM pg_notify('ops_changes', '');
        RETURN new_id;
    END
    $$;
