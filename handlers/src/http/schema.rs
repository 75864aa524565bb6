//! The params of `http` as JSON Schema, for documents and forms.

use serde_json::{Value, json};

/// The params, as JSON Schema.
pub fn params_schema() -> Value {
    let duration = |what: &str, default: u64| {
        json!({
            "description": format!("{what}: seconds, or text such as \"1m 30s\"."),
            "type": ["number", "string"], "minimum": 0, "default": default
        })
    };
    let status = json!({ "anyOf": [
        { "type": "integer", "minimum": 200, "maximum": 599 },
        { "type": "string", "pattern": "^[2-5][xX][xX]$" }
    ] });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["url"],
        "not": { "required": ["body", "json"] },
        "properties": {
            "url": { "description": "What is asked, http or https.", "type": "string", "maxLength": 8192 },
            "method": {
                "type": "string", "default": "GET",
                "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
            },
            "headers": {
                "description": "Headers of the request.",
                "type": "object", "additionalProperties": { "type": "string" }, "maxProperties": 64
            },
            "body": { "description": "The body, as text.", "type": "string" },
            "json": { "description": "The body, as JSON." },
            "expect": {
                "description": "The statuses that are a success: codes such as 404, classes such as \"2xx\".",
                "anyOf": [status, { "type": "array", "items": status, "minItems": 1 }], "default": "2xx"
            },
            "timeout": duration("How long all of it may take", 30),
            "connect_timeout": duration("How long each connection may take to be there", 10),
            "max_redirects": {
                "description": "Redirects that are followed.",
                "type": "integer", "minimum": 0, "maximum": 20, "default": 5
            },
            "max_response_bytes": {
                "description": "The largest body of an answer.",
                "type": "integer", "minimum": 0, "maximum": 524_288, "default": 262_144
            },
            "truncate": {
                "description": "Whether the beginning of a larger body is kept; else it is a failure.",
                "type": "boolean", "default": false
            },
            "max_retry_after": duration("The longest Retry-After for which the run is put off", 3600)
        }
    })
}
