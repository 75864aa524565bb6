//! How many callers become one statement: [`batcher`] gathers what waits, [`budget`] bounds it, [`halving`] isolates what the
//! database refuses, and [`foreign_locks`] leaves out the runs that other transactions lock.

pub mod batcher;
pub mod budget;
pub mod foreign_locks;
pub mod halving;
