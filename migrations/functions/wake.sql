-- Wakes servers when the caller's transaction commits, if the setting `ops.notify_in_transaction` is on. It is off by default: a NOTIFY
-- makes commits wait for each other, and a transaction that has one can not be prepared. Servers find the change within a second anyway.
CREATE OR REPLACE FUNCTION ops.wake(channel text) RETURNS void
    LANGUAGE plpgsql
    AS $$
    BEGIN
        IF coalesce(nullif(current_setting('ops.notify_in_transaction', true), ''), 'off')::boolean THEN
            PERFORM pg_notify(channel, '');
        END IF;
    END
    $$;
REVOKE EXECUTE ON FUNCTION ops.wake(text) FROM PUBLIC;
