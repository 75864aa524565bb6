//! Sessions: [`record`] creates, reads and changes them; [`end`] closes, cancels and completes them, and folds their counters; [`lock`]
//! has their locks.

pub mod end;
pub mod lock;
pub mod record;
