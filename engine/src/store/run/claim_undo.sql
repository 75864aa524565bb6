-- The grants of a claim whose answer was lost, except those whose runs another transaction has locked. It reads the ids of all leases,
-- because no index leads from a claim to its runs.
SELECT r.id, r.fence, r.claim_id, w.id AS worker_id, w.stream_epoch
FROM ops.runs r
JOIN ops.workers w ON w.id = r.worker_id
WHERE r.id = ANY (ARRAY(SELECT unnest(run_ids) FROM ops.run_leases)) AND r.server_id = $1 AND r.claim_number = $2
  AND r.status IN ('claimed', 'running')
FOR NO KEY UPDATE OF r SKIP LOCKED
