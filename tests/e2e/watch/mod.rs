//! Watching runs: nothing is missed, nobody waits for the slow, and a run never goes backwards.

mod following;
mod load;
mod order;
mod tokens;
