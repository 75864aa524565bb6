-- A session groups runs and counts how they end.
CREATE TABLE ops.sessions (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id       text NOT NULL CONSTRAINT sessions_tenant_check CHECK (tenant_id <> ''),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    name            text NOT NULL CONSTRAINT sessions_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
    description     text NOT NULL DEFAULT '' CONSTRAINT sessions_description_check CHECK (char_length(description) <= 4000),
    triggered_by    text NOT NULL DEFAULT '' CONSTRAINT sessions_triggered_by_check CHECK (char_length(triggered_by) <= 200),
    status          text NOT NULL DEFAULT 'active'
                    CONSTRAINT sessions_status_check CHECK (status IN ('active', 'completed', 'cancelled')),
    -- These counters lag: a reader adds the rows of session_deltas that the fold has not added yet.
    total_runs      bigint NOT NULL DEFAULT 0,
    succeeded_runs  bigint NOT NULL DEFAULT 0,
    failed_runs     bigint NOT NULL DEFAULT 0,
    cancelled_runs  bigint NOT NULL DEFAULT 0,
    context         jsonb NOT NULL DEFAULT '{}' CONSTRAINT sessions_context_check CHECK (jsonb_typeof(context) = 'object'),
    -- From this moment the session takes no more runs.
    closed_at       timestamptz,
    -- The reason and the grace with which a cancelled session cancels its runs.
    cancel_reason   text,
    cancel_grace_ms bigint,
    CONSTRAINT sessions_ended_is_closed_check CHECK (status = 'active' OR closed_at IS NOT NULL)
);
CREATE INDEX sessions_tenant ON ops.sessions (tenant_id, id);
CREATE INDEX sessions_cancelling ON ops.sessions (id)
    WHERE status = 'cancelled' AND total_runs > succeeded_runs + failed_runs + cancelled_runs;
CREATE INDEX sessions_closing ON ops.sessions (id) WHERE status = 'active' AND closed_at IS NOT NULL;

-- Changes of a session's counters, one row for each batch and session. Writers only append, so no writer waits for a shared row. The
-- fold adds the rows to the session and deletes them. No foreign key: it would ask for the lock of the session, and a foreign lock on a
-- session would hold up all reports of its runs. A writer holds the lock of a run of the session or of the session itself, so no row
-- comes after the session and its runs are deleted.
CREATE TABLE ops.session_deltas (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text NOT NULL,
    session_id  uuid NOT NULL,
    total       bigint NOT NULL DEFAULT 0,
    succeeded   bigint NOT NULL DEFAULT 0,
    failed      bigint NOT NULL DEFAULT 0,
    cancelled   bigint NOT NULL DEFAULT 0
);
CREATE INDEX session_deltas_session ON ops.session_deltas (session_id);

-- Deleting a session deletes its runs and their counters. A foreign key of ops.runs would do that too, but it would lock the session once
-- more for each enqueued run. A placeholder: functions/sessions_deleted.sql replaces it.
CREATE FUNCTION ops.sessions_deleted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER sessions_deleted AFTER DELETE ON ops.sessions
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION ops.sessions_deleted();
