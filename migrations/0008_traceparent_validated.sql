ALTER TABLE ops.runs VALIDATE CONSTRAINT runs_traceparent_check;
