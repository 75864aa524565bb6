mod journal;
mod program;

mod client;
mod fixture;
mod gate;
mod http;
mod processes;
#[path = "../../../tests/e2e/support/readme.rs"]
mod steps;
#[path = "../../../tests/e2e/bad_input/table/mod.rs"]
mod table;

mod bad_input;
mod cancel;
mod colour;
mod config;
mod container;
mod crash;
mod dev;
mod doctor;
mod environment;
mod exit;
mod help;
mod logs;
mod memory;
mod monitor;
mod outcome;
mod output;
mod pipe;
mod readme;
mod rolling;
mod shell;
mod shutdown;
mod sick;
mod spans;
mod stall;
mod unreachable;
mod usage;
