mod journal;
mod program;

mod client;
mod gate;
mod house;
mod processes;

mod cancel;
mod crash;
mod dev;
mod help;
mod logs;
mod outcome;
mod output;
mod pipe;
mod shutdown;
mod unreachable;
mod usage;
