//! The built-in handlers of `ops worker`. A program that embeds the worker runtime registers its own handlers and does not need
//! this crate.
//!
//! One module a kind: `shell` executes a program, `http` sends a request, `sleep` waits.

pub mod http;
pub mod shell;
pub mod sleep;

mod duration;

use worker::WorkerBuilder;

pub use http::{Http, HttpConfig, Network};
pub use shell::Shell;
pub use sleep::Sleep;

/// Registers `http`, `shell` and `sleep`. If the configuration of `http` is wrong, [`WorkerBuilder::build`] fails and says so.
#[must_use]
pub fn register(builder: WorkerBuilder, http: &HttpConfig) -> WorkerBuilder {
    let builder = builder.handler(shell::KIND, Shell::default()).handler(sleep::KIND, Sleep);
    match Http::new(http) {
        Ok(handler) => builder.handler(http::KIND, handler),
        Err(reason) => builder.violation(format!("http.ca_certificates_pem: {reason}")),
    }
}
