-- A worker that lacks what runs need, such as file descriptors, takes none for a while. It says why in its heartbeats.
ALTER TABLE ops.workers
    ADD COLUMN pause_reason text CONSTRAINT workers_pause_reason_check CHECK (char_length(pause_reason) <= 4000),
    ADD COLUMN paused_until timestamptz;
GRANT SELECT (pause_reason, paused_until) ON ops.workers TO ops_authenticated, ops_anon;
