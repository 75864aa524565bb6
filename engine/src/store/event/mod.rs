//! Events of runs: [`append`] writes them, [`read`] lists them.

pub mod append;
pub mod read;
