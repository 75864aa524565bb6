//! Carries out the plan: each fault begins, lasts, and is undone.
//!
//! `step` carries out one step of the plan; the other files are the faults by what they hit. `streams` checks what must hold
//! meanwhile.

mod streams;

mod network;
mod process;

mod foreign;
mod sql;

mod database;
mod disk;

mod step;

pub(super) use step::step;
