//! Sessions: [`record`] creates, reads and changes them, [`close`] closes and cancels them, [`fold`] folds their counters and completes
//! them, [`lock`] has their locks.

pub mod close;
pub mod fold;
pub mod lock;
pub mod record;
