//! The history that a run writes and the checker reads.
//!
//! The folder of a run is self-contained:
//!
//! ```text
//! seed.json              the plan: the seed, and the faults in the order of their times
//! history/ACTOR.jsonl    what each actor did and saw: an event a line
//! final.json             the database after everything has settled
//! logs/                  the logs of the processes
//! ```
//!
//! An actor is one process, or a part of one. Only the actor writes its file; a process that is started again is
//! another actor.

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
