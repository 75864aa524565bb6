//! What an operator wants of a database.

use std::time::Duration;

/// What the database shall be good for.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// The connections that a server may take.
    pub connections: u32,
    /// From when on a transaction is too long.
    pub long_transaction: Duration,
}
