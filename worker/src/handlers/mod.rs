//! The built-in handlers, one file a kind, and what they are made of.

pub mod http;
pub mod shell;
pub mod sleep;

mod child;
mod duration;
mod guardian;
mod lines;
mod output;
mod spawner;

pub use http::Http;
pub use shell::Shell;
pub use sleep::Sleep;
