//! What is left when processes die, hang, or are cut off: nothing is lost, and nothing runs twice.

mod database;
mod everything;
mod server;
mod shift;
mod silence;
mod worker;
