//! Between the generated types and the domain's: checks on the way in, all violations told at once; plain mapping out.
//!
//! [`fields`] checks single fields and gathers what is wrong; the other files are the aggregates.

pub mod artifact;
pub mod connect;
pub mod event;
pub mod fields;
pub mod json;
pub mod run;
pub mod session;
pub mod time;
pub mod worker;

pub use fields::{Fields, Path};
