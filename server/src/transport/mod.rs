//! The layer below HTTP: connections, their number, and the resources that each may use.
//!
//! [`settings`] has the bounds, [`listen`] serves connections within them.

mod listen;
mod settings;

pub use listen::{serve, serve_beyond};
pub use settings::TransportConfig;
