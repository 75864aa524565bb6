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
            "url": { "description": "The URL, http or https.", "type": "string", "maxLength": 8192 },
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
            "timeout": duration("The time limit of the whole request", 30),
            "connect_timeout": duration("The time limit of each connection: name, TCP and TLS", 10),
            "max_redirects": {
                "description": "How many redirects are followed.",
                "type": "integer", "minimum": 0, "maximum": 20, "default": 5
            },
            "max_response_bytes": {
                "description": "The largest body of the answer, in bytes.",
                "type": "integer", "minimum": 0, "maximum": 524_288, "default": 262_144
            },
            "truncate": {
                "description": "Whether to keep the beginning of a larger body; otherwise the run fails.",
                "type": "boolean", "default": false
            },
            "max_retry_after": duration("The longest Retry-After for which the run is offered again later", 3600)
        }
    })
}
