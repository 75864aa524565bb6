//! Events of runs: [`append`] writes them, [`read`] lists them, [`tail`] follows them.

pub mod append;
pub mod read;
pub mod tail;
