//! Sessions: exact counters, and a close that no run passes.

mod closing;
mod counters;
mod enqueuing;
mod request_ids;
