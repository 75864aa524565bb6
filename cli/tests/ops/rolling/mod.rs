//! Servers that are restarted one after the other, as an upgrade does it, while everybody works on.

mod caller;
mod restart;
mod watcher;
