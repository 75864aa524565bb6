//! Sessions: [`record`] creates, reads and changes them; [`end`] closes, cancels and completes them, and folds their counters.

pub mod end;
pub mod record;
