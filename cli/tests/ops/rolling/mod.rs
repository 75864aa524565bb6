//! Servers restart one after the other, as in an upgrade, while clients and workers continue.

mod caller;
mod restart;
mod watcher;
