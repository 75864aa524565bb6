//! Counts and measures the unary calls of the contract.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;

use super::caller::method_of;
use super::methods::{Method, Shape};
use super::status::reason_of;
use super::trace::code_of;
use crate::telemetry::spans::status_word;
use engine::telemetry::Metrics;

/// Whether a call succeeded, or was refused for a reason that the contract lists. So each test proves what the contract says.
fn is_listed(method: &Method, response: &Response) -> bool {
    let refused = Status::from_header_map(response.headers()).and_then(|status| reason_of(&status));
    refused.is_none_or(|reason| method.may_answer(reason))
}

/// Counts and measures a call.
pub async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let Some(method) = method_of(&request).filter(|method| method.is_ours()) else { return next.run(request).await };
    let began = Instant::now();
    let response = next.run(request).await;
    debug_assert!(is_listed(method, &response), "{} was refused for a reason that it does not list", method.name);
    if method.shape != Shape::Unary {
        return response;
    }
    metrics.calls.with_label_values(&[method.name, status_word(code_of(&response))]).inc();
    metrics.call_seconds.with_label_values(&[method.name]).observe(began.elapsed().as_secs_f64());
    response
}

#[cfg(test)]
mod tests {
    use engine::domain::{Refusal, Resource};
    use uuid::Uuid;

    use super::*;
    use crate::edge::status::status_of;

    #[test]
    fn a_refusal_that_the_contract_does_not_list_is_found() {
        let method = Method::of_path("/ops.v1.RunService/GetRun").expect("there is such a method");
        let refused = |refusal: Refusal| status_of(refusal).into_http();
        assert!(is_listed(method, &refused(Refusal::not_found(Resource::Run, Uuid::nil()))));
        assert!(!is_listed(method, &refused(Refusal::not_found(Resource::Session, Uuid::nil()))));
        assert!(!is_listed(method, &refused(Refusal::PageTokenInvalid)));
        assert!(is_listed(method, &Response::default()), "it succeeded");
    }
}
