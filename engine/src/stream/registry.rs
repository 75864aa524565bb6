//! The registry of the streams of this server.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use uuid::Uuid;

use crate::stream::connection::{Connection, StreamEnd};

/// The streams of this server, by worker.
#[derive(Debug, Default)]
pub struct Registry {
    connections: RwLock<HashMap<Uuid, Arc<Connection>>>,
}

impl Registry {
    /// Adds a stream. If the worker already has one, the older of the two ends, whichever was added first.
    pub fn add(&self, connection: Arc<Connection>) {
        let mut connections = self.connections.write().unwrap_or_else(PoisonError::into_inner);
        match connections.get(&connection.worker_id) {
            Some(held) if held.epoch > connection.epoch => connection.end(StreamEnd::Replaced),
            Some(held) => {
                held.end(StreamEnd::Replaced);
                connections.insert(connection.worker_id, connection);
            }
            None => {
                connections.insert(connection.worker_id, connection);
            }
        }
    }

    /// Removes a stream, unless a newer one has replaced it.
    pub fn remove(&self, connection: &Connection) {
        let mut connections = self.connections.write().unwrap_or_else(PoisonError::into_inner);
        if connections.get(&connection.worker_id).is_some_and(|held| held.epoch == connection.epoch) {
            connections.remove(&connection.worker_id);
        }
    }

    /// The stream of a worker.
    pub fn get(&self, worker_id: Uuid) -> Option<Arc<Connection>> {
        self.connections.read().unwrap_or_else(PoisonError::into_inner).get(&worker_id).cloned()
    }

    /// The workers that have streams, and the epochs of these streams.
    pub fn epochs(&self) -> Vec<(Uuid, i64)> {
        let connections = self.connections.read().unwrap_or_else(PoisonError::into_inner);
        connections.values().map(|connection| (connection.worker_id, connection.epoch)).collect()
    }

    /// All streams.
    pub fn all(&self) -> Vec<Arc<Connection>> {
        self.connections.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
