-- The log of a run. Its worker writes it; (fence, seq) is its order.
CREATE TABLE ops.run_events (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id   text NOT NULL,
    run_id      uuid NOT NULL REFERENCES ops.runs (id) ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    fence       bigint NOT NULL,
    seq         bigint NOT NULL CONSTRAINT run_events_seq_check CHECK (seq > 0),
    level       text NOT NULL CONSTRAINT run_events_level_check CHECK (level IN ('debug', 'info', 'warn', 'error')),
    message     text NOT NULL,
    -- The exact bytes, if the message only renders them.
    raw         bytea,
    data        jsonb,
    CONSTRAINT run_events_position UNIQUE (run_id, fence, seq)
);
