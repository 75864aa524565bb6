-- Why a text is not a line of `min` to `max` characters for people; NULL if it is one. `check_line` in engine/src/domain/text.rs is the
-- same rule in Rust, and a test compares the two.
CREATE OR REPLACE FUNCTION ops.line_violation(value text, min int, max int) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT CASE
            WHEN char_length(value) NOT BETWEEN min AND max
                THEN format('expected %s to %s characters, got %s', min, max, char_length(value))
            -- Control characters, marks that change the direction of reading, and separators of lines.
            WHEN value ~ '[\u0001-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]'
                THEN 'expected a text without control characters'
        END
    $$;
REVOKE EXECUTE ON FUNCTION ops.line_violation(text, int, int) FROM PUBLIC;
