-- Runs are the hot path. Why these tables look as they do, with measurements: docs/decisions/what-a-run-costs.md.

-- Types of the columns of a run. The type of a column says what the column may hold: PostgreSQL checks a type only when a value is
-- assigned, but it parses a CHECK of the table for each statement and evaluates it for each row of each update.
CREATE DOMAIN ops.run_kind AS text CONSTRAINT run_kind_check CHECK (char_length(VALUE) BETWEEN 1 AND 100);
CREATE DOMAIN ops.run_status AS text
    CONSTRAINT run_status_check CHECK (VALUE IN ('queued', 'claimed', 'running', 'succeeded', 'failed', 'cancelled'));
CREATE DOMAIN ops.wait_reason AS text CONSTRAINT wait_reason_check CHECK (VALUE IN ('scheduled', 'undelivered'));
CREATE DOMAIN ops.run_after AS timestamptz
    CONSTRAINT run_after_check CHECK (VALUE >= '0001-01-01Z' AND VALUE < '10000-01-01Z');
CREATE DOMAIN ops.max_attempts AS int CONSTRAINT max_attempts_check CHECK (VALUE BETWEEN 1 AND 100);
CREATE DOMAIN ops.timeout_ms AS bigint CONSTRAINT timeout_ms_check CHECK (VALUE > 0);
CREATE DOMAIN ops.outcome_source AS text CONSTRAINT outcome_source_check CHECK (VALUE IN ('worker', 'recovery', 'cancel'));
-- A W3C traceparent of version 00.
CREATE DOMAIN ops.traceparent AS text
    CONSTRAINT traceparent_check CHECK (VALUE ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$');

-- A run is one piece of work. No index names a column that changes while a run lives, so both updates of a run (claim and report) are
-- heap-only: run_queue and run_leases stand beside this table for that. There is no foreign key to the session, because an enqueue
-- has locked the session already.
CREATE TABLE ops.runs (
    id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- A policy depends on this column, so its CHECK stays with the table.
    tenant_id            text NOT NULL CONSTRAINT runs_tenant_check CHECK (tenant_id <> ''),
    session_id           uuid NOT NULL,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    lane                 ops.lane_type NOT NULL,
    priority             int NOT NULL DEFAULT 0,
    kind                 ops.run_kind NOT NULL,
    params               ops.json_object NOT NULL DEFAULT '{}',
    labels               ops.json_object NOT NULL DEFAULT '{}',
    status               ops.run_status NOT NULL DEFAULT 'queued',
    -- Why a queued run can not be claimed yet.
    wait_reason          ops.wait_reason,
    run_after            ops.run_after NOT NULL DEFAULT now(),
    attempt              int NOT NULL DEFAULT 0,
    max_attempts         ops.max_attempts NOT NULL DEFAULT 1,
    timeout_ms           ops.timeout_ms,
    -- The grant: the worker that holds the run, or held it last.
    claimed_by           text,
    worker_id            uuid,
    fence                bigint NOT NULL DEFAULT 0,
    server_id            uuid,
    claim_number         bigint,
    -- The id of the unary call that claimed the run, if that call can be repeated.
    claim_id             uuid,
    lease_ms             bigint,
    claimed_at           timestamptz,
    started_at           timestamptz,
    heartbeat_at         timestamptz,
    finished_at          timestamptz,
    -- How often in a row the run was given to a worker that did not start it.
    undelivered          int NOT NULL DEFAULT 0,
    progress_fraction    double precision,
    progress_message     text,
    result               jsonb,
    error                jsonb,
    cancel_requested_at  timestamptz,
    cancel_reason        text,
    cancel_grace_ms      bigint,
    cancel_confirmed     boolean,
    -- What ended the last grant, and a hash of the reported outcome.
    outcome_source       ops.outcome_source,
    outcome_hash         bytea,
    revision             bigint NOT NULL DEFAULT 1,
    -- The place of the run in a distributed trace, if the enqueue named one.
    traceparent          ops.traceparent,
    CONSTRAINT runs_wait_reason_queued_check CHECK (wait_reason IS NULL OR status = 'queued'),
    CONSTRAINT runs_finished_check CHECK ((finished_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'cancelled'))),
    CONSTRAINT runs_grant_check CHECK (status NOT IN ('claimed', 'running')
        OR (worker_id IS NOT NULL AND lease_ms IS NOT NULL AND heartbeat_at IS NOT NULL))
    -- A page has room for each run as it is enqueued, claimed and reported, without a vacuum in between.
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0, fillfactor = 30);
CREATE INDEX runs_waiting ON ops.runs (run_after) WHERE wait_reason IS NOT NULL;
CREATE INDEX runs_claim ON ops.runs (claim_id) WHERE claim_id IS NOT NULL;
CREATE INDEX runs_session ON ops.runs (session_id, id);
CREATE INDEX runs_tenant ON ops.runs (tenant_id, id);

-- Deleting a run takes it out of the queue, and watchers learn of it. A placeholder: functions/runs_deleted.sql replaces it.
CREATE FUNCTION ops.runs_deleted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER runs_deleted AFTER DELETE ON ops.runs
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION ops.runs_deleted();

-- The runs that can be claimed, in the order in which they are claimed. A transaction adds or deletes the row of a run only while it
-- holds the lock of the run. No row is ever updated.
CREATE TABLE ops.run_queue (
    tenant_id  text NOT NULL,
    lane       ops.lane_type NOT NULL,
    kind       text NOT NULL,
    priority   int NOT NULL,
    run_after  timestamptz NOT NULL,
    run_id     uuid NOT NULL,
    -- The fence of the run when it was queued, so that a row of an old snapshot is not taken for a later one of the same run.
    fence      bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0,
        vacuum_truncate = false);
-- The kind leads within the lane, so a claim hops over runs of other kinds at no cost.
CREATE UNIQUE INDEX run_queue_order ON ops.run_queue (tenant_id, lane, kind, priority DESC, run_after, run_id);

-- The runs that one claim gave to one worker, and the time of the next check: does the worker still hold them, and is it alive? The row
-- is deleted when none of them is held any more.
CREATE TABLE ops.run_leases (
    id         bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id  text NOT NULL,
    worker_id  uuid NOT NULL,
    due_at     timestamptz NOT NULL,
    run_ids    uuid[] NOT NULL,
    PRIMARY KEY (worker_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX run_leases_due ON ops.run_leases (due_at);
-- No two of the ids are equal. Compression gains nothing, and ANALYZE would spend seconds on counting them.
ALTER TABLE ops.run_leases ALTER COLUMN run_ids SET STORAGE EXTERNAL, ALTER COLUMN run_ids SET STATISTICS 0;

-- When a server last checked leases, and since when the checks have no gap. No lease ends sooner than its length after `resumed_at`, so
-- an outage costs no living worker its run.
CREATE TABLE ops.lease_service (
    only_row    boolean PRIMARY KEY DEFAULT true CONSTRAINT lease_service_one_row_check CHECK (only_row),
    checked_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    resumed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO ops.lease_service DEFAULT VALUES;

-- Grants that ended while their run went on: a failed attempt that is retried, a snooze, a lost lease.
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

-- Orders to workers: `cancel` = stop this run, `revoke` = you have lost it. A row lives until its run has ended, or until the revoke
-- was sent.
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
