-- The status of a run after its grant has ended: why a run is retried, fails or is cancelled. This is the only rule. Each statement that
-- ends a grant calls it: report.sql, release.sql and expire.sql. `run_next` in engine/src/domain/run_next.rs is the same table in Rust,
-- and a test compares the two. PostgreSQL inlines the function into its callers, so a call costs nothing.
--
-- The exceptions are cancel.sql and cancel_unconfirmed.sql. Each ends a run by a cancel, although no grant of it has ended in one of the
-- ways below: cancel.sql while no worker holds the run, cancel_unconfirmed.sql when its worker did not confirm the cancel in time.
--
-- The outcome is what the worker reports, or `released` (the grant is given back and did not start) or `lost` (its lease has ended).
-- `started`: the worker was sent a Start, or may have been. `attempt`: the attempts so far, with this one if it has started.
CREATE OR REPLACE FUNCTION ops.run_next(
    outcome           text,
    started           boolean,
    cancel_requested  boolean,
    attempt           int,
    max_attempts      int
) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT CASE
            -- A success always stands.
            WHEN outcome = 'succeeded' THEN 'succeeded'
            WHEN outcome = 'lost' AND NOT started THEN 'queued'
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
