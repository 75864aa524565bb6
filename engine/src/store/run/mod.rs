//! Runs, in the order of their lives: [`enqueue`], [`due`], [`claim`], [`report`] (begin and end), [`lease`] (heartbeat and
//! expiry), [`release`], [`cancel`]. [`read`] and [`row`] read them, [`lock`] has their locks. [`backlog`] counts what waits, [`vacuum`]
//! keeps the queue fast.

pub mod backlog;
pub mod cancel;
pub mod claim;
pub mod due;
pub mod enqueue;
pub mod guard;
pub mod lease;
pub mod lock;
pub mod read;
pub mod release;
pub mod report;
pub mod row;
pub mod vacuum;
