//! Streams that survive a lost connection: each resumes with the last token that it received, on the same or another server.

mod events;
mod runs;

pub use events::EventFeed;
pub use runs::{Begin, RunFeed, runs_of};
