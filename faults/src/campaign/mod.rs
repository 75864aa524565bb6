//! Many seeds, some at once, each in a process of its own, and a summary of all.

mod options;

mod child;
mod summary;

mod run;

pub use child::{End, Outcome};
pub use options::{Options, seeds};
pub use run::run;
pub use summary::Summary;
