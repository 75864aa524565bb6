//! Events of runs: [`append`] keeps them, [`read`] lists them.

pub mod append;
pub mod read;
