//! Streams that survive a lost connection: each resumes by the last token that it was sent, on this or another server.

mod events;
mod runs;

pub use events::EventFeed;
pub use runs::{Begin, RunFeed, runs_of};
