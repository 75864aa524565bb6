//! Watching: the [`hub`] reads the change feed once for all watchers of this server, a [`subscriber`] keeps the events that wait for one
//! watcher, and a [`subscription`] is the watcher's end of it.

pub mod hub;
pub mod subscriber;
mod subscribers;
pub mod subscription;
