-- The status of a run after a grant of it has ended: why a run is retried, fails or is cancelled. This is the only rule. Each statement
-- that ends a grant calls it: report.sql, release.sql, claim_undo.sql and expire.sql. `run_next` in engine/src/domain/run_next.rs is the same
-- table in Rust, and a test compares the two. PostgreSQL inlines the function into its callers, so a call costs nothing.
--
-- The exceptions are cancel.sql and cancel_unconfirmed.sql. Each ends a run by a cancel, although its grant has not ended in one of the
-- ways below: cancel.sql takes the run before it has begun, cancel_unconfirmed.sql when its worker did not confirm the cancel in time.
--
-- The outcome is what the worker reports, or `released` (the grant is given back and was not begun) or `lost` (its lease has ended).
-- `begun`: the worker has started. `attempt`: the attempts so far, with this one if it has begun.
CREATE OR REPLACE FUNCTION ops.run_next(
    outcome           text,
    begun             boolean,
    cancel_requested  boolean,
    attempt           int,
    max_attempts      int
) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT CASE
            -- A success always stands.
            WHEN outcome = 'succeeded' THEN 'succeeded'
            WHEN outcome = 'lost' AND NOT begun THEN 'queued'
            -- After a cancel was requested, every other end confirms it.
            WHEN cancel_requested OR outcome = 'cancelled' THEN 'cancelled'
            -- These attempts do not count.
            WHEN outcome IN ('snoozed', 'released') THEN 'queued'
            WHEN outcome IN ('failed', 'lost') AND attempt < max_attempts THEN 'queued'
            ELSE 'failed'
        END
    $$;
REVOKE EXECUTE ON FUNCTION ops.run_next(text, boolean, boolean, int, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.run_next(text, boolean, boolean, int, int) TO ops_engine;
