-- Sessions group runs and count how they end.
GRANT USAGE ON SCHEMA ops TO ops_engine, ops_authenticated, ops_anon;

-- Whose rows the current request may see: the JWT claim that PostgREST sets, or else the setting `ops.tenant_id`.
-- No tenant = NULL = no row.
CREATE FUNCTION ops.current_tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
        SELECT coalesce(
            NULLIF(current_setting('request.jwt.claims', true), '')::jsonb ->> 'tenant_id',
            NULLIF(current_setting('ops.tenant_id', true), ''))
    $$;

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
    -- Folded from session_deltas; who reads adds what is not folded yet.
    total_runs      bigint NOT NULL DEFAULT 0,
    succeeded_runs  bigint NOT NULL DEFAULT 0,
    failed_runs     bigint NOT NULL DEFAULT 0,
    cancelled_runs  bigint NOT NULL DEFAULT 0,
    context         jsonb NOT NULL DEFAULT '{}' CONSTRAINT sessions_context_check CHECK (jsonb_typeof(context) = 'object'),
    -- From here on the session takes no more runs.
    closed_at       timestamptz,
    -- How its runs are cancelled, if it is.
    cancel_reason   text,
    cancel_grace_ms bigint,
    CONSTRAINT sessions_ended_is_closed_check CHECK (status = 'active' OR closed_at IS NOT NULL)
);
CREATE INDEX sessions_tenant ON ops.sessions (tenant_id, id);
CREATE INDEX sessions_cancelling ON ops.sessions (id)
    WHERE status = 'cancelled' AND total_runs > succeeded_runs + failed_runs + cancelled_runs;
CREATE INDEX sessions_closing ON ops.sessions (id) WHERE status = 'active' AND closed_at IS NOT NULL;

-- What a round changed in a session's counters. Writers only append, so none waits on a shared row; the fold sums them
-- up into the session.
CREATE TABLE ops.session_deltas (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text NOT NULL,
    session_id  uuid NOT NULL REFERENCES ops.sessions (id) ON DELETE CASCADE,
    total       bigint NOT NULL DEFAULT 0,
    succeeded   bigint NOT NULL DEFAULT 0,
    failed      bigint NOT NULL DEFAULT 0,
    cancelled   bigint NOT NULL DEFAULT 0
);
CREATE INDEX session_deltas_session ON ops.session_deltas (session_id);

-- What a `request_id` made, so that the same request again gets the same answer. Kept for 24 hours.
CREATE TABLE ops.request_ids (
    tenant_id     text NOT NULL,
    scope         text NOT NULL,
    request_id    text NOT NULL CONSTRAINT request_ids_length_check CHECK (char_length(request_id) BETWEEN 1 AND 200),
    payload_hash  bytea NOT NULL,
    resource_ids  uuid[] NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, scope, request_id)
);
CREATE INDEX request_ids_created ON ops.request_ids (created_at);
