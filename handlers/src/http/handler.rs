//! The handler `http`: it sends the request, and turns the answer or the error into the outcome of the attempt.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::time::{self, Instant};
use worker::{Handler, HandlerError, RunContext};

use super::{
    address::Network,
    dial::{self, Dialer, Resolve, System},
    exchange::{Answer, Progress, exchange},
    failure::{HttpError, Phase, Shown, is_temporary},
    request::{HttpParams, Limits, Request},
    result,
};

/// The kind under which it is registered.
pub const KIND: &str = "http";
/// The shortest delay for an answer with `Retry-After`.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// The permissions that the owner of the worker gives.
#[derive(Clone, Debug, Default)]
pub struct HttpConfig {
    /// Addresses that requests may reach besides those of the public internet. Default: none.
    pub allow: Vec<Network>,
    /// Trusted authorities besides those that browsers trust, as PEM. Default: none.
    pub ca_certificates_pem: Option<Vec<u8>>,
}

/// Sends a request. If the status is expected, status, headers and body of the answer become the result. Otherwise the attempt
/// fails with type `HttpStatus`: permanently, unless the status is temporary (408, 425, 429 and 5xx). If an answer with a
/// temporary status has `Retry-After`, the run is offered again after that time, and the attempt does not count.
///
/// Requests reach only addresses of the public internet, and those that the owner of the worker allows. A cancel cuts the
/// connection at once.
pub struct Http {
    dialer: Dialer,
}

impl Http {
    /// # Errors
    /// The certificates are invalid.
    pub fn new(config: &HttpConfig) -> Result<Self, String> {
        Self::with_resolver(config, Arc::new(System))
    }

    pub(super) fn with_resolver(config: &HttpConfig, resolver: Arc<dyn Resolve>) -> Result<Self, String> {
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
            // This drops the other future, and with it the connection.
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

/// The delay until the next attempt, if the answer asks for one.
fn delay(answer: &Answer, limits: &Limits) -> Option<Duration> {
    let asked = result::retry_after(&answer.headers, SystemTime::now()).filter(|_| is_temporary(answer.status))?;
    (asked <= limits.max_retry_after && !limits.max_retry_after.is_zero()).then(|| asked.max(SHORTEST_WAIT))
}
