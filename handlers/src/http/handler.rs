//! `http`: asks a URL, and reports the answer.
//!
//! In reading order: what is asked (`request`), where that may be (`address`), how it is done (`dial`, `exchange`,
//! `redirect`), and what is said of it (`result`, `failure`).

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
    failure::{HttpError, Phase, Shown, is_passing},
    request::{HttpParams, Limits, Request},
    result,
};

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

impl Http {
    /// # Errors
    /// The certificates can not be used.
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
