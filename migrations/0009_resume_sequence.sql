-- The order in which a worker said its resumes: one that a server comes to late changes nothing. 0 = it numbered none.
ALTER TABLE ops.workers ADD COLUMN resume_sequence bigint NOT NULL DEFAULT 0;
