//! Follows one PostgreSQL session, as far as to know where transactions are committed and statements executed.

mod frames;
mod session;

pub(super) use session::Session;
