-- The things that a run made: a text that this table keeps, or a link.
CREATE TABLE ops.artifacts (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id     text NOT NULL,
    run_id        uuid NOT NULL REFERENCES ops.runs (id) ON DELETE CASCADE,
    created_at    timestamptz NOT NULL DEFAULT now(),
    kind          text NOT NULL CONSTRAINT artifacts_kind_check CHECK (char_length(kind) BETWEEN 1 AND 100),
    name          text NOT NULL CONSTRAINT artifacts_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
    storage_path  text,
    content_text  text,
    content_url   text,
    size_bytes    bigint,
    mime_type     text,
    metadata      jsonb,
    CONSTRAINT artifacts_content_check CHECK (num_nonnulls(storage_path, content_text, content_url) = 1)
);
CREATE INDEX artifacts_run ON ops.artifacts (run_id, id);
