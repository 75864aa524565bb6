//! The public API of the library.
//!
//! In reading order: the worker (`config`, `worker`, `status`, `error`); what executes runs (`handler`, `failure`, `shortage`); what a
//! handler gets (`context`, `run_info`, `params`) and may do with it (`log_entry`, `artifact`, `stop`); what a server takes of it (`text`); and a
//! context without a server, for tests of handlers (`probe`).

pub(crate) mod config;
pub(crate) mod error;
pub(crate) mod status;
pub(crate) mod worker;

pub(crate) mod failure;
pub(crate) mod handler;
pub(crate) mod shortage;

pub(crate) mod context;
pub(crate) mod params;
pub(crate) mod run_info;

pub(crate) mod artifact;
pub(crate) mod log_entry;
pub(crate) mod stop;

pub(crate) mod text;

pub(crate) mod probe;
