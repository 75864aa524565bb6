//! Watching runs: nothing is missed, a slow watcher delays nobody, and a run never goes backwards.

mod following;
mod load;
mod order;
mod silence;
mod tokens;
