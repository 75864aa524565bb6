mod journal;
mod program;

mod client;
mod gate;
mod house;
mod processes;
#[path = "../../../tests/e2e/support/readme.rs"]
mod steps;

mod cancel;
mod config;
mod crash;
mod dev;
mod help;
mod logs;
mod outcome;
mod output;
mod pipe;
mod readme;
mod shutdown;
mod unreachable;
mod usage;
