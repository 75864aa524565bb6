//! Carries out the plan: each fault begins, lasts, and is undone.
//!
//! `step` carries out one step of the plan. The other files have the faults, grouped by their targets. `streams` checks that
//! workers keep their streams.

mod streams;

mod network;
mod process;

mod foreign;
mod sql;

mod database;
mod disk;

mod step;

pub(super) use step::step;
