//! Follows one PostgreSQL session far enough to know where it commits and executes statements.

mod frames;
mod session;

pub(super) use session::Session;
