//! Sessions: exact counters, and ends that nothing slips past.

mod closing;
mod counters;
mod enqueuing;
mod request_ids;
