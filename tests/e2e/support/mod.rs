//! What the tests share: a house with servers and clients.

mod house;

pub use house::{House, Server, spec};
