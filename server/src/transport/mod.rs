//! What lies below HTTP: connections, their number, and what each may take of the server.
//!
//! [`settings`] has the bounds, [`listen`] serves connections within them.

mod listen;
mod settings;

pub use listen::serve;
pub use settings::TransportConfig;
