//! Processes die, hang, or lose their connections: no run is lost, and none is executed twice.

mod database;
mod everything;
mod server;
mod shift;
mod silence;
mod worker;
