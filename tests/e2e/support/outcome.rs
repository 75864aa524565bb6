//! The outcomes that workers report.

use std::time::Duration;

use proto::v1::*;

pub fn succeeded(result_json: &str) -> Outcome {
    of(outcome::Outcome::Succeeded(Succeeded { result: Some(succeeded::Result::ResultJson(result_json.into())) }))
}

/// Another attempt may help.
pub fn failed(class: &str) -> Outcome {
    of(outcome::Outcome::Failed(Failed { error: Some(error(class)), permanent: false }))
}

/// Another attempt can not help.
pub fn failed_for_good(class: &str) -> Outcome {
    of(outcome::Outcome::Failed(Failed { error: Some(error(class)), permanent: true }))
}

pub fn cancelled() -> Outcome {
    of(outcome::Outcome::Cancelled(Cancelled { error: None }))
}

pub fn snoozed(delay: Duration) -> Outcome {
    let delay = Some(delay.try_into().expect("a short time"));
    of(outcome::Outcome::Snoozed(Snoozed { delay }))
}

fn error(class: &str) -> RunError {
    RunError { r#type: class.into(), message: "by the test".into(), ..Default::default() }
}

fn of(outcome: outcome::Outcome) -> Outcome {
    Outcome { outcome: Some(outcome) }
}
