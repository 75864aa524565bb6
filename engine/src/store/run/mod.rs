//! Runs, in the order of their lives: [`enqueue`], [`due`], [`claim`], [`report`] (start and end), [`lease`] (heartbeat and
//! expiry), [`release`], [`cancel`]. [`orders`] go to the workers of runs, [`lock`] has their locks.
//! [`read`] and [`row`] read runs. [`backlog`] counts them, [`vacuum`] keeps the queue fast.

pub mod backlog;
pub mod cancel;
pub mod claim;
pub mod due;
pub mod enqueue;
pub mod guard;
pub mod lease;
pub mod lock;
pub mod orders;
pub mod read;
pub mod release;
pub mod report;
pub mod row;
pub mod vacuum;
