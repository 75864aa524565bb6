//! What is written down while a run goes on, and read again to be judged.
//!
//! A run's folder is self-contained:
//!
//! ```text
//! seed.json              what was chosen: the seed, and the faults in the order of their times
//! history/ACTOR.jsonl    what each actor did and saw: an event a line, as it happened
//! final.json             the database after everything has settled
//! logs/                  what the processes said
//! ```
//!
//! An actor is one life of one process, or one part of it: nobody else writes its file.

mod clock;
mod event;
mod fault;
mod file;
mod final_state;
mod folder;
mod status;

pub use clock::now_us;
pub use event::{Asked, Counters, Event, Filter, Outcome, Verdict, What};
pub use fault::{FaultClass, Plan, Planned};
pub use file::{Recorder, Torn, read};
pub use final_state::{DUMP, FinalState, GrantRow, RunRow, SessionRow, key_of, token_of};
pub use folder::Folder;
pub use status::Status;
