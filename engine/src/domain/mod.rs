//! Pure types and rules: no I/O, no async, the clock is an argument.
//!
//! Reading order: [`run`] owns the state machine; [`outcome`] is what a worker reports, and [`run_next`] what becomes of its run; the rest
//! are the nouns around them.

pub mod artifact;
pub mod event;
pub mod filter;
pub mod frame;
pub mod grant;
pub mod identity;
pub mod json;
pub mod lane;
pub mod limits;
pub mod outcome;
pub mod page;
pub mod refusal;
pub mod run;
pub mod run_error;
pub mod run_next;
pub mod session;
pub mod tail;
pub mod tenant;
pub mod text;
pub mod token;
pub mod trace;
pub mod violation;
pub mod watch;
pub mod weight;
pub mod worker;

pub use grant::{Grant, GrantKey};
pub use identity::Identity;
pub use lane::Lane;
pub use limits::Limits;
pub use outcome::Outcome;
pub use refusal::{Refusal, Resource};
pub use run::{Run, RunRequest, RunSpec, RunStatus};
pub use run_error::RunError;
pub use session::Session;
pub use tenant::TenantId;
pub use trace::TraceParent;
