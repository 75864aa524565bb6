-- Enqueues a run inside the caller's own transaction: commit = enqueued, rollback = gone. ops.current_tenant() is its tenant. The same
-- request_id again within 24 hours returns the first run. Servers find the run within a second after the commit, or at once if the
-- setting `ops.notify_in_transaction` is on (wake.sql).
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
        new_id      uuid := ops.new_id();
        first_hash  bytea;
        first_ids   uuid[];
        payload     bytea;
        later       boolean := coalesce(run_after > now(), false);
        violation   text;
    BEGIN
        IF tenant IS NULL THEN
            RAISE EXCEPTION 'no tenant is set' USING ERRCODE = 'insufficient_privilege',
                HINT = 'SET ops.tenant_id = ''default''';
        END IF;
        -- What a server checks for its callers too. The table checks the others.
        violation := CASE
            WHEN ops.line_violation(kind, 1, 100) IS NOT NULL THEN 'kind: ' || ops.line_violation(kind, 1, 100)
            WHEN ops.json_violation(params, 1048576, 64) IS NOT NULL THEN 'params: ' || ops.json_violation(params, 1048576, 64)
            WHEN jsonb_typeof(labels) <> 'object' THEN 'labels: expected a JSON object'
            WHEN EXISTS (
                SELECT FROM jsonb_each(labels) WITH ORDINALITY AS l (key, value, place)
                WHERE place > 32 OR jsonb_typeof(value) <> 'string' OR ops.line_violation(key, 1, 63) IS NOT NULL
                   OR ops.line_violation(value #>> '{}', 0, 255) IS NOT NULL)
                THEN 'labels: expected up to 32, keys of 1 to 63 characters, texts of up to 255, without control characters'
            WHEN timeout < interval '1 ms' OR timeout > interval '30 days' THEN 'timeout: expected 1 ms to 30 days'
            WHEN ops.line_violation(request_id, 1, 200) IS NOT NULL
                THEN 'request_id: ' || ops.line_violation(request_id, 1, 200)
        END;
        IF violation IS NOT NULL THEN
            RAISE EXCEPTION USING MESSAGE = violation, ERRCODE = 'check_violation';
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

        -- This lock conflicts with the lock under which a session is closed, so no run slips into a closed session.
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
        PERFORM ops.wake('ops_work');
        PERFORM ops.wake('ops_changes');
        RETURN new_id;
    END
    $$;
REVOKE EXECUTE ON FUNCTION ops.enqueue_run(uuid, ops.lane_type, text, jsonb, int, jsonb, int, interval, timestamptz, text)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.enqueue_run(uuid, ops.lane_type, text, jsonb, int, jsonb, int, interval, timestamptz, text)
    TO ops_engine, ops_authenticated;
