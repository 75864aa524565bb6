//! Real servers, real workers and a real PostgreSQL under faults, chosen by a seed; and the proofs that nothing that was
//! promised was broken.
//!
//! [`history`] is what everybody writes down while it happens; [`checker`] judges that afterwards, and needs nothing else.
//! [`campaign`] does that with many seeds.

pub mod history;

pub mod checker;

pub mod campaign;
