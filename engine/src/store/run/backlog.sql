-- Counts runs that have not ended, by state and lane. Each count ends at $1, however many rows the tables have. The reads follow the
-- order of an index, so that none reads more of it.
WITH RECURSIVE tenants AS (
    (SELECT tenant_id FROM ops.run_queue ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT q.tenant_id FROM ops.run_queue q
            WHERE q.tenant_id > t.tenant_id
            ORDER BY q.tenant_id LIMIT 1)
    FROM tenants t
    WHERE t.tenant_id IS NOT NULL
),
ready AS (
    SELECT l.lane, c.runs, c.due
    FROM unnest(enum_range(NULL::ops.lane_type)) AS l (lane)
    CROSS JOIN LATERAL (
        SELECT count(*) AS runs, min(run_after) AS due
        FROM (SELECT q.run_after
              FROM tenants t
              CROSS JOIN LATERAL (
                  SELECT q.run_after FROM ops.run_queue q
                  WHERE q.tenant_id = t.tenant_id AND q.lane = l.lane
                  LIMIT $1) q
              LIMIT $1) b
    ) c
),
held AS (
    SELECT status, lane, count(*) AS runs
    FROM ops.runs
    WHERE id = ANY (ARRAY(SELECT unnest(run_ids) FROM ops.run_leases LIMIT $1)) AND status IN ('claimed', 'running')
    GROUP BY status, lane
),
waiting AS (
    SELECT wait_reason, lane, count(*) AS runs
    FROM (SELECT wait_reason, lane FROM ops.runs WHERE wait_reason IS NOT NULL ORDER BY run_after LIMIT $1) w
    GROUP BY wait_reason, lane
)
SELECT 'ready' AS "state!", lane::text AS "lane!", runs AS "runs!",
       greatest(extract(epoch FROM clock_timestamp() - due), 0)::double precision AS age_seconds
FROM ready
UNION ALL
SELECT status, lane::text, runs, NULL FROM held
UNION ALL
SELECT wait_reason, lane::text, runs, NULL FROM waiting
