//! The server that an operator's verb talks to.

use std::time::Duration;

use anyhow::Result;
use client::{Client, RetryBudget, Settings};
use tonic::Status;

use crate::{
    args::target::ServerAddress,
    errors::{self, Unreachable},
    output,
};

/// A server that is replaced, or whose database fails over, is back within this.
const RETRY_LIMIT: Duration = Duration::from_secs(60);

/// Connects at once, so that a verb fails before it does anything if the server is not there.
pub(crate) async fn connect(address: &ServerAddress) -> Result<Client> {
    let settings = Settings { user_agent: concat!("ops/", env!("CARGO_PKG_VERSION")), ..Settings::default() };
    let client = Client::connect(&address.uri().to_string(), &settings).await;
    Ok(client.map_err(|source| Unreachable { address: address.clone(), source })?)
}

/// A minute of retries. Standard error says so at the first failure.
pub(crate) fn retry_budget() -> RetryBudget {
    RetryBudget::new(RETRY_LIMIT).with_notice(notice)
}

fn notice(status: &Status, limit: Duration) {
    output::tell(format_args!("{}; trying again for {} s", errors::brief(status), limit.as_secs()));
}
