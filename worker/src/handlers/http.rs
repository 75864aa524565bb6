//! `http`: asks a URL, and reports the answer.
//!
//! In reading order: what is asked (`request`), where that may be (`address`), how it is done (`dial`, `exchange`,
//! `redirect`), and what is said of it (`result`, `failure`).

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::time::{self, Instant};

use self::{
    dial::{Dialer, Resolve, System},
    exchange::{Answer, Progress, exchange},
    failure::{HttpError, Phase, Shown, is_passing},
    request::{HttpParams, Limits, Request},
};
use crate::{
    context::RunContext,
    handler::{Handler, HandlerError},
};

mod address;
mod dial;
mod exchange;
mod expect;
mod failure;
mod redirect;
mod request;
mod result;

pub use address::Network;

/// The kind under which it is registered.
pub const KIND: &str = "http";
/// Who asks to wait is not asked again sooner than this.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// What the worker's owner lets requests do.
#[derive(Clone, Debug, Default)]
pub struct HttpConfig {
    /// Addresses that may be asked besides those of the public internet. Default: none.
    pub allow: Vec<Network>,
    /// Authorities that sign certificates of servers, as PEM, besides those that browsers trust. Default: none.
    pub ca_certificates_pem: Option<Vec<u8>>,
}

/// Asks a URL. Its status, headers and body become the result, if the status is as expected; else the run fails with type
/// `HttpStatus`, for good unless the status may pass (408, 425, 429 and 5xx). Where such an answer says with `Retry-After`
/// when to come back, the run is put off until then, and the attempt does not count.
///
/// Only addresses of the public internet are asked, and those that the worker's owner allows. Cancelled, it cuts the
/// connection at once.
pub struct Http {
    dialer: Dialer,
}

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

impl Http {
    /// # Errors
    /// The certificates can not be used.
    pub fn new(config: &HttpConfig) -> Result<Self, String> {
        Self::with_resolver(config, Arc::new(System))
    }

    fn with_resolver(config: &HttpConfig, resolver: Arc<dyn Resolve>) -> Result<Self, String> {
        let tls = dial::tls_config(config.ca_certificates_pem.as_deref())?;
        Ok(Self { dialer: Dialer::new(config.allow.clone(), tls, resolver) })
    }
}

#[async_trait]
impl Handler for Http {
    async fn run(&self, ctx: RunContext) -> Result<Value, HandlerError> {
        let (request, limits) = ctx.params::<HttpParams>()?.check()?;
        tokio::select! {
            biased;
            // The other future goes, and with it the connection.
            _ = ctx.cancelled() => Err(HandlerError::Cancelled),
            done = perform(&ctx, &self.dialer, request, &limits) => done,
        }
    }
}

async fn perform(ctx: &RunContext, dialer: &Dialer, request: Request, limits: &Limits) -> Result<Value, HandlerError> {
    let begin = Instant::now();
    let mut progress = Progress { url: Shown::from(&request.url), phase: Phase::default(), address: None };
    let exchanged = exchange(ctx, dialer, request.clone(), limits, &mut progress);
    let exchanged = time::timeout(limits.timeout, exchanged).await;
    let Progress { url, phase, address } = progress;
    let mut context: Map<String, Value> = [
        ("url".to_owned(), url.to_string().into()),
        ("address".to_owned(), address.map(|address| address.to_string()).into()),
        ("duration_ms".to_owned(), u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX).into()),
    ]
    .into_iter()
    .collect();
    let failure = match exchanged {
        Ok(Ok(answer)) => {
            context.extend(result::head(&answer, &request));
            if limits.expect.accepts(answer.status) {
                return Ok(result::result(&answer, context));
            }
            if let Some(delay) = delay(&answer, limits) {
                return Err(HandlerError::Snooze(delay));
            }
            context.insert("body".to_owned(), result::excerpt(&answer).into());
            HttpError::Status { expected: limits.expect.to_string(), status: answer.status }
        }
        Ok(Err(error)) => error,
        Err(_elapsed) => HttpError::Timeout(phase, limits.timeout),
    };
    Err(failure.into_failure(&url).with_context(Value::Object(context)))
}

/// For how long the run is put off, because the answer asks for it.
fn delay(answer: &Answer, limits: &Limits) -> Option<Duration> {
    let asked = result::retry_after(&answer.headers, SystemTime::now()).filter(|_| is_passing(answer.status))?;
    (asked <= limits.max_retry_after && !limits.max_retry_after.is_zero()).then(|| asked.max(SHORTEST_WAIT))
}

#[cfg(test)]
mod tests;
