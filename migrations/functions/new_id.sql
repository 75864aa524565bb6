-- A new id: a UUIDv7 of this database's clock, to the microsecond. Lists are ordered by id, so the newest comes first, whoever made it.
CREATE OR REPLACE FUNCTION ops.new_id() RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$
        SELECT encode(
            -- Milliseconds in 48 bits, the version, and the rest of the millisecond in 12 bits. The others are random.
            overlay(uuid_send(gen_random_uuid())
                    PLACING int8send(((us / 1000) << 16) | 28672 | ((us % 1000) * 4096 / 1000)) FROM 1 FOR 8),
            'hex')::uuid
        FROM floor(extract(epoch FROM clock_timestamp()) * 1000000) AS t (exact)
        CROSS JOIN LATERAL (SELECT exact::bigint AS us) u
    $$;
REVOKE EXECUTE ON FUNCTION ops.new_id() FROM PUBLIC;
