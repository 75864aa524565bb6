-- Gives the best claimable runs of some lanes and kinds to workers; one element of $4 to $8 is one free slot. It reads the best $11 runs,
-- and takes the first of them that no other transaction has locked.
--
-- ORDER BY names the lane and the kind too. Behind row-level security the planner does not know that they are constant, and would sort
-- all claimable runs.
WITH RECURSIVE lanes AS (
    SELECT unnest($2::text[])::ops.lane_type AS lane
),
-- For workers that execute any kind: the kinds that have claimable runs. Each step finds the next kind in the index.
hops AS (
    SELECT l.lane, (SELECT q.kind FROM ops.run_queue q
                    WHERE q.tenant_id = $1 AND q.lane = l.lane
                    ORDER BY q.lane, q.kind LIMIT 1) AS kind
    FROM lanes l
    WHERE cardinality($3::text[]) = 0
    UNION ALL
    SELECT h.lane, (SELECT q.kind FROM ops.run_queue q
                    WHERE q.tenant_id = $1 AND q.lane = h.lane AND q.kind > h.kind
                    ORDER BY q.lane, q.kind LIMIT 1)
    FROM hops h
    WHERE h.kind IS NOT NULL
),
queues AS (
    SELECT lane, kind FROM hops WHERE kind IS NOT NULL
    UNION ALL
    SELECT l.lane, k.kind FROM lanes l CROSS JOIN unnest($3::text[]) AS k (kind)
),
best AS MATERIALIZED (
    SELECT b.*
    FROM queues
    CROSS JOIN LATERAL (
        SELECT q.ctid AS queued_at, q.run_id, q.fence, q.priority, q.run_after
        FROM ops.run_queue q
        WHERE q.tenant_id = $1 AND q.lane = queues.lane AND q.kind = queues.kind
        ORDER BY q.lane, q.kind, q.priority DESC, q.run_after, q.run_id
        LIMIT $11
    ) b
    ORDER BY b.priority DESC, b.run_after, b.run_id
    LIMIT $11
),
-- Others may claim the same rows. SKIP LOCKED passes over the runs that they have locked. The statement waits for no lock, so the order of
-- locks does not matter.
--
-- A lateral query and not a join, so that even a plan that was made for an empty table finds runs by their ids.
locked AS MATERIALIZED (
    SELECT r.id, b.queued_at, b.priority, b.run_after
    FROM best b
    CROSS JOIN LATERAL (
        SELECT id FROM ops.runs WHERE id = b.run_id AND fence = b.fence AND status = 'queued'
        FOR NO KEY UPDATE SKIP LOCKED) r
    LIMIT cardinality($4::uuid[])
),
dequeued AS (
    DELETE FROM ops.run_queue WHERE ctid = ANY (ARRAY(SELECT queued_at FROM locked))
),
placed AS MATERIALIZED (
    SELECT id, (row_number() OVER (ORDER BY priority DESC, run_after, id))::int AS place, clock_timestamp() AS at FROM locked
),
changed AS (
    UPDATE ops.runs r
    SET status = CASE WHEN ($6::boolean[])[p.place] THEN 'running' ELSE 'claimed' END,
        claimed_by = ($5::text[])[p.place],
        worker_id = ($4::uuid[])[p.place],
        fence = r.fence + 1,
        server_id = $9,
        claim_number = $10,
        claim_id = ($8::uuid[])[p.place],
        lease_ms = ($7::bigint[])[p.place],
        claimed_at = p.at,
        heartbeat_at = p.at,
        started_at = CASE WHEN ($6::boolean[])[p.place] THEN p.at END,
        attempt = r.attempt + ($6::boolean[])[p.place]::int,
        progress_fraction = NULL,
        progress_message = NULL,
        outcome_source = NULL,
        outcome_hash = NULL,
        revision = r.revision + 1,
        updated_at = p.at
    FROM placed p
    WHERE r.id = p.id AND r.status = 'queued'
    RETURNING p.place, p.at, r.id, r.tenant_id, r.session_id, r.lane, r.priority, r.kind, r.params, r.labels, r.attempt, r.max_attempts,
              r.timeout_ms, r.worker_id, r.lease_ms, r.fence, r.revision, r.error, r.created_at, r.run_after, r.traceparent
),
-- Most runs have ended by the first check of their lease. That check deletes the row.
leased AS (
    INSERT INTO ops.run_leases (tenant_id, worker_id, due_at, run_ids)
    SELECT $1, worker_id, clock_timestamp() + least(min(lease_ms), 5000) * interval '1 ms', array_agg(id)
    FROM changed
    GROUP BY worker_id
),
fed AS (
    INSERT INTO ops.run_changes (tenant_id, run_ids)
    SELECT tenant_id, array_agg(id) FROM changed GROUP BY tenant_id
)
-- Columns that are equal for all claimed runs are not returned.
SELECT place AS "place!", (SELECT count(*) FROM best) AS "looked!", at AS "at!", id AS "id!", session_id AS "session_id!",
       lane::text AS "lane!", priority AS "priority!", kind AS "kind!", params::text AS "params!", labels::text AS "labels!",
       attempt AS "attempt!", max_attempts AS "max_attempts!", timeout_ms, fence AS "fence!", revision AS "revision!",
       error::text AS "error", created_at AS "created_at!", run_after AS "run_after!", traceparent
FROM changed
ORDER BY place
