mod program;

mod help;
mod pipe;
mod unreachable;
mod usage;
