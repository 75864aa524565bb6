-- A worker executes runs. There is a row for each process that connected, and one for each name that claims by unary calls.
CREATE TABLE ops.workers (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id           text NOT NULL CONSTRAINT workers_tenant_check CHECK (tenant_id <> ''),
    created_at          timestamptz NOT NULL DEFAULT now(),
    name                text NOT NULL CONSTRAINT workers_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
    mode                text NOT NULL CONSTRAINT workers_mode_check CHECK (mode IN ('stream', 'unary')),
    state               text NOT NULL DEFAULT 'active'
                        CONSTRAINT workers_state_check CHECK (state IN ('active', 'disconnected', 'lost', 'gone')),
    -- An operator sets this. It outlives reconnects.
    drain_requested_at  timestamptz,
    lanes               ops.lane_type[] NOT NULL,
    kinds               text[] NOT NULL DEFAULT '{}',
    labels              jsonb NOT NULL DEFAULT '{}',
    version             text NOT NULL DEFAULT '',
    -- The hash of the secret that a resume must name.
    secret_hash         bytea,
    -- Each new stream of this worker raises it; 0 for unary workers.
    stream_epoch        bigint NOT NULL DEFAULT 0,
    -- The server that holds the worker's stream.
    server_id           uuid,
    lease_ms            bigint NOT NULL,
    heartbeat_at        timestamptz NOT NULL DEFAULT now(),
    -- The number that the worker gave to its newest resume; 0 if it numbered none. A resume with a lower number arrives late and
    -- changes nothing.
    resume_sequence     bigint NOT NULL DEFAULT 0,
    CONSTRAINT workers_secret_check CHECK (mode = 'unary' OR secret_hash IS NOT NULL)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX workers_unary_name ON ops.workers (tenant_id, name) WHERE mode = 'unary';
CREATE INDEX workers_tenant ON ops.workers (tenant_id, id);
CREATE INDEX workers_alive ON ops.workers (id) WHERE state IN ('active', 'disconnected');
