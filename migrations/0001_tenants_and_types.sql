-- The roles that may use the schema. ops_owner owns everything in it (bootstrap.sql).
GRANT USAGE ON SCHEMA ops TO ops_engine, ops_authenticated, ops_anon;

-- Workers serve lanes, and each run waits in one.
CREATE TYPE ops.lane_type AS ENUM ('A', 'B', 'C', 'D');

CREATE DOMAIN ops.json_object AS jsonb CONSTRAINT json_object_check CHECK (jsonb_typeof(VALUE) = 'object');

-- A placeholder, so that policies can name the function. With it no role sees a row. functions/current_tenant.sql replaces it.
CREATE FUNCTION ops.current_tenant() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT NULL::text';

-- The text of each file in functions/ as it was last applied, and the release of the program that applied it. Only the migrator uses
-- this table.
CREATE TABLE ops._functions (
    name         text PRIMARY KEY,
    source       text NOT NULL,
    -- Major, minor, patch.
    release      int[] NOT NULL,
    replaced_at  timestamptz NOT NULL DEFAULT now()
);
