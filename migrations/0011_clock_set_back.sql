-- What becomes of stored instants when the clock of the database has gone back, as after a fail-over to a machine whose clock differs.
ALTER TABLE ops.lease_service
    -- When a server last noticed that the clock had gone back; by the clock after that.
    ADD COLUMN set_back_at timestamptz,
    -- Whether instants of the future are still to be brought to the present (engine/src/store/clock.sql).
    ADD COLUMN is_set_back boolean NOT NULL DEFAULT false;
