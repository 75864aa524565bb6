-- Why a value is no JSON object of `max_bytes` and `max_depth` at most; NULL if it is one. `check` in engine/src/domain/json.rs is the
-- same rule for a text in Rust, and a test compares the two. What `jsonb` does not keep can not be compared: white space, keys that are
-- given twice, and how a number is written.
CREATE OR REPLACE FUNCTION ops.json_violation(value jsonb, max_bytes int, max_depth int) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT CASE
            WHEN jsonb_typeof(value) <> 'object' THEN 'expected a JSON object'
            WHEN octet_length(value::text) > max_bytes
                THEN format('expected at most %s bytes of JSON, got %s', max_bytes, octet_length(value::text))
            -- A short text has none of the following: numbers are written out.
            WHEN octet_length(value::text) <= max_depth THEN NULL
            WHEN jsonb_path_exists(
                    value, format('strict $.**{%s} ? (@.type() == "object" || @.type() == "array")', max_depth)::jsonpath)
                THEN format('expected JSON nested at most %s deep', max_depth)
            WHEN jsonb_path_exists(
                    value,
                    'strict $.** ? (@.type() == "number" && (@ >= 1.797693134862315807937289714053034e308
                                    || @ <= -1.797693134862315807937289714053034e308
                                    || (@ != 0 && @ < 2.4703282292062327208e-324 && @ > -2.4703282292062327208e-324)))')
                THEN 'expected numbers within the range of a double'
            WHEN octet_length(value::text) > 1100 AND EXISTS (
                    SELECT FROM jsonb_path_query(value, 'strict $.** ? (@.type() == "number")') AS number
                    WHERE octet_length(number::text) > 1100)
                THEN 'expected numbers of at most 1100 characters'
        END
    $$;
REVOKE EXECUTE ON FUNCTION ops.json_violation(jsonb, int, int) FROM PUBLIC;
