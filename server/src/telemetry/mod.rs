//! What the server lets be seen of itself: [`spans`] of calls and runs. docs/observability.md names them all.

pub mod spans;
