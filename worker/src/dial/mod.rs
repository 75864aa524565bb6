//! The connection to a server.
//!
//! In reading order: how the worker finds a server (`connection`, `backoff`), what a failed try proves (`evidence`), calls
//! beside the stream (`link`, `artifact`), and the messages of the contract (`wire`).

pub(crate) mod backoff;
pub(crate) mod connection;
pub(crate) mod evidence;

pub(crate) mod artifact;
pub(crate) mod link;

pub(crate) mod wire;
