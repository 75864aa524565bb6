//! `shell`: executes a program in a process group of its own.
//!
//! In reading order: the handler (`handler`), the program's environment (`environment`), its output as log lines (`output`, `lines`), and
//! its processes: how they start (`spawner`), end (`child`), and die with the worker (`guardian`).

mod handler;

mod environment;

mod lines;
mod output;

mod child;
mod guardian;
mod spawner;

#[cfg(test)]
mod tests;

pub use environment::EnvName;
pub use handler::{KIND, Shell, params_schema};
