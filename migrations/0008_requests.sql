-- The resources that a `request_id` made: the same request again gets the same answer. Rows are kept for 24 hours.
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
-- No two of the ids are equal. ANALYZE would spend seconds on counting them.
ALTER TABLE ops.request_ids ALTER COLUMN resource_ids SET STATISTICS 0;
