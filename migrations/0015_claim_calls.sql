-- Calls of Claim that can be repeated, at any server. The row of a request id names its newest call: only that call is given runs, and
-- only what no later call was answered with goes back to the queue. Other methods leave both columns empty.
ALTER TABLE ops.request_ids
    ADD COLUMN call_id   uuid,
    -- Whether a call with this request id was given runs.
    ADD COLUMN answered  boolean;
