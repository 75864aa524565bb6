//! `http`: sends a request to a URL and reports the answer.
//!
//! In reading order: the handler (`handler`), its params (`schema`, `request`, `expect`), the addresses that it may connect to
//! (`address`), the exchange itself (`dial`, `exchange`, `redirect`), and its outcome (`result`, `failure`).

mod handler;

mod expect;
mod request;
mod schema;

mod address;
mod dial;
mod exchange;
mod redirect;

mod failure;
mod result;

#[cfg(test)]
mod tests;

pub use address::Network;
pub use handler::{Http, HttpConfig, KIND};
pub use schema::params_schema;
