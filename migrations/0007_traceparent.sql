-- Where a run stands in a distributed trace: who enqueued it may say so, as a W3C `traceparent` of version 00. The
-- constraint holds for new rows at once; those that are there are checked by the next file, without a lock that writers
-- would wait for.
ALTER TABLE ops.runs ADD COLUMN traceparent text;
ALTER TABLE ops.runs ADD CONSTRAINT runs_traceparent_check
    CHECK (traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$') NOT VALID;
