CREATE TYPE ops.lane_type AS ENUM ('A', 'B', 'C', 'D');

-- Who executes runs: a row for each process that connected, and one for each name that claims by unary calls.
CREATE TABLE ops.workers (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id           text NOT NULL CONSTRAINT workers_tenant_check CHECK (tenant_id <> ''),
    created_at          timestamptz NOT NULL DEFAULT now(),
    name                text NOT NULL CONSTRAINT workers_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
    mode                text NOT NULL CONSTRAINT workers_mode_check CHECK (mode IN ('stream', 'unary')),
    state               text NOT NULL DEFAULT 'active'
                        CONSTRAINT workers_state_check CHECK (state IN ('active', 'disconnected', 'lost', 'gone')),
    -- Set by an operator; it outlives reconnects.
    drain_requested_at  timestamptz,
    lanes               ops.lane_type[] NOT NULL,
    kinds               text[] NOT NULL DEFAULT '{}',
    labels              jsonb NOT NULL DEFAULT '{}',
    version             text NOT NULL DEFAULT '',
    -- Of the secret that a resume must name.
    secret_hash         bytea,
    -- Raised with each stream of this worker; 0 for unary workers.
    stream_epoch        bigint NOT NULL DEFAULT 0,
    -- The replica that holds its stream.
    server_id           uuid,
    lease_ms            bigint NOT NULL,
    heartbeat_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT workers_secret_check CHECK (mode = 'unary' OR secret_hash IS NOT NULL)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX workers_unary_name ON ops.workers (tenant_id, name) WHERE mode = 'unary';
CREATE INDEX workers_tenant ON ops.workers (tenant_id, id);
CREATE INDEX workers_alive ON ops.workers (id) WHERE state IN ('active', 'disconnected');

CREATE TABLE ops.runs (
    id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id            text NOT NULL CONSTRAINT runs_tenant_check CHECK (tenant_id <> ''),
    session_id           uuid NOT NULL REFERENCES ops.sessions (id) ON DELETE CASCADE,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    lane                 ops.lane_type NOT NULL,
    priority             int NOT NULL DEFAULT 0,
    kind                 text NOT NULL CONSTRAINT runs_kind_check CHECK (char_length(kind) BETWEEN 1 AND 100),
    params               jsonb NOT NULL DEFAULT '{}' CONSTRAINT runs_params_check CHECK (jsonb_typeof(params) = 'object'),
    labels               jsonb NOT NULL DEFAULT '{}' CONSTRAINT runs_labels_check CHECK (jsonb_typeof(labels) = 'object'),
    status               text NOT NULL DEFAULT 'queued' CONSTRAINT runs_status_check
                         CHECK (status IN ('queued', 'claimed', 'running', 'succeeded', 'failed', 'cancelled')),
    -- Two flags that indexes may depend on, so that status itself is in no index and its changes stay HOT.
    claimable            boolean NOT NULL DEFAULT true,
    held                 boolean NOT NULL DEFAULT false,
    -- Why a queued run is not claimable yet.
    wait_reason          text CONSTRAINT runs_wait_reason_check CHECK (wait_reason IN ('scheduled', 'undelivered')),
    run_after            timestamptz NOT NULL DEFAULT now()
                         CONSTRAINT runs_run_after_check CHECK (run_after >= '0001-01-01Z' AND run_after < '10000-01-01Z'),
    attempt              int NOT NULL DEFAULT 0,
    max_attempts         int NOT NULL DEFAULT 1 CONSTRAINT runs_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 100),
    timeout_ms           bigint CONSTRAINT runs_timeout_check CHECK (timeout_ms > 0),
    -- The grant: who holds the run, or held it last.
    claimed_by           text,
    worker_id            uuid,
    fence                bigint NOT NULL DEFAULT 0,
    server_id            uuid,
    claim_round          bigint,
    -- Of the unary call that claimed it, if that call can be repeated.
    claim_id             uuid,
    lease_ms             bigint,
    claimed_at           timestamptz,
    started_at           timestamptz,
    heartbeat_at         timestamptz,
    finished_at          timestamptz,
    -- How often in a row it was given out and not begun.
    undelivered          int NOT NULL DEFAULT 0,
    progress_fraction    double precision,
    progress_message     text,
    result               jsonb,
    error                jsonb,
    cancel_requested_at  timestamptz,
    cancel_reason        text,
    cancel_grace_ms      bigint,
    cancel_confirmed     boolean,
    -- How the last grant ended: said by whom, and a hash of what was said.
    outcome_source       text CONSTRAINT runs_outcome_source_check CHECK (outcome_source IN ('worker', 'recovery', 'cancel')),
    outcome_hash         bytea,
    revision             bigint NOT NULL DEFAULT 1,
    CONSTRAINT runs_claimable_check CHECK (NOT claimable OR (status = 'queued' AND wait_reason IS NULL)),
    CONSTRAINT runs_waiting_check CHECK (status <> 'queued' OR claimable OR wait_reason IS NOT NULL),
    CONSTRAINT runs_wait_reason_queued_check CHECK (wait_reason IS NULL OR status = 'queued'),
    CONSTRAINT runs_held_check CHECK (held = (status IN ('claimed', 'running'))),
    CONSTRAINT runs_grant_check CHECK (NOT held OR (worker_id IS NOT NULL AND lease_ms IS NOT NULL AND heartbeat_at IS NOT NULL)),
    CONSTRAINT runs_finished_check CHECK ((finished_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'cancelled')))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
-- What a claim reads: the kind leads within the lane, so that runs of other kinds in front cost nothing.
CREATE INDEX runs_ready ON ops.runs (tenant_id, lane, kind, priority DESC, run_after, id) WHERE claimable;
CREATE INDEX runs_waiting ON ops.runs (run_after) WHERE wait_reason IS NOT NULL;
CREATE INDEX runs_held ON ops.runs (worker_id) WHERE held;
CREATE INDEX runs_claim ON ops.runs (claim_id) WHERE claim_id IS NOT NULL;
CREATE INDEX runs_session ON ops.runs (session_id, id);
CREATE INDEX runs_tenant ON ops.runs (tenant_id, id);

-- Grants that ended without ending their run: failed attempts that were offered again, snoozes, lost leases.
CREATE TABLE ops.run_grants (
    run_id          uuid NOT NULL REFERENCES ops.runs (id) ON DELETE CASCADE,
    fence           bigint NOT NULL,
    tenant_id       text NOT NULL,
    worker_id       uuid NOT NULL,
    attempt         int NOT NULL,
    claimed_at      timestamptz NOT NULL,
    started_at      timestamptz,
    ended_at        timestamptz NOT NULL DEFAULT now(),
    outcome_source  text NOT NULL CONSTRAINT run_grants_source_check CHECK (outcome_source IN ('worker', 'recovery', 'cancel')),
    outcome_hash    bytea,
    error           jsonb,
    PRIMARY KEY (run_id, fence)
);

-- What a worker shall be told: to stop a run, or that it has lost one. A row lives until the run has ended, or the worker
-- was told that it lost it.
CREATE TABLE ops.run_cancels (
    run_id        uuid NOT NULL REFERENCES ops.runs (id) ON DELETE CASCADE,
    fence         bigint NOT NULL,
    tenant_id     text NOT NULL,
    worker_id     uuid NOT NULL,
    kind          text NOT NULL CONSTRAINT run_cancels_kind_check CHECK (kind IN ('cancel', 'revoke')),
    requested_at  timestamptz NOT NULL DEFAULT now(),
    grace_ms      bigint NOT NULL,
    reason        text NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, fence)
);
CREATE INDEX run_cancels_worker ON ops.run_cancels (worker_id);

-- When leases were last looked after by any replica, and since when that has gone on without a gap: no lease ends sooner
-- than its length after `resumed_at`, so an outage costs no living worker its run.
CREATE TABLE ops.lease_service (
    only_row        boolean PRIMARY KEY DEFAULT true CONSTRAINT lease_service_one_row_check CHECK (only_row),
    round_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    resumed_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO ops.lease_service DEFAULT VALUES;
