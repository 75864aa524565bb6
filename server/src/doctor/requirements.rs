//! What a server needs of the database.

use std::time::Duration;

/// The requirements that an examination checks.
#[derive(Debug, Clone)]
pub struct Requirements {
    /// The most connections that a server takes.
    pub connections: u32,
    /// The age from which an open transaction is reported.
    pub long_transaction: Duration,
}
