//! A client of the contract in Rust, for the program `ops`, for handlers, load generators and tests. It knows only the contract.
//!
//! [`Client`] is one connection with all services on it. The generated clients of the services are cheap handles, so a
//! caller takes one for each call:
//!
//! ```ignore
//! let client = Client::connect("http://127.0.0.1:7070", &Settings::default()).await?;
//! let run = client.runs().get_run(GetRunRequest { run_id }).await?.into_inner().run;
//! ```
//!
//! [`Settings`] say how to connect. The defaults suit a person at a terminal; a load generator leaves out the pings
//! (`Settings { pings: None, ..Settings::default() }`), and a test that cuts connections shortens the timeouts. [`Client::lazy`]
//! connects with the first call, for a server that may not be there yet. [`Client::channel`] is for services that are not
//! part of the contract, such as health.
//!
//! [`Refusal`] reads the details of an error: reason, violations, and when to try again. [`reason`] and [`is_transient`] answer
//! the two usual questions.
//!
//! [`RetryBudget`] says how long to try again, and waits in between. Each answer renews it:
//!
//! ```ignore
//! let mut budget = RetryBudget::new(Duration::from_secs(60));
//! let answer = loop {
//!     match client.runs().cancel_run(request.clone()).await {
//!         Ok(answer) => break answer,
//!         Err(status) => budget.wait(status).await?,
//!     }
//! };
//! ```
//!
//! [`Client::follow_runs`] and [`Client::follow_events`] are a watch of runs and the log of a run. Both survive a lost stream: they
//! resume by their last token. [`Client::wait_run`] waits for the end of a run in the same way.

mod connection;
mod feed;
mod refusal;
mod retry;
mod wait;

#[cfg(test)]
mod fake;

pub use connection::{Client, Pings, Settings};
pub use feed::{Begin, EventFeed, RunFeed, runs_of};
pub use refusal::{Refusal, Violation, is_transient, reason};
pub use retry::RetryBudget;
pub use wait::has_ended;
