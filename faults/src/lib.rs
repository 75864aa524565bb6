//! Real servers, real workers and a real PostgreSQL under faults, chosen by a seed; and the proofs that nothing that was
//! promised was broken.
//!
//! [`history`] is what everybody writes down while it happens; [`checker`] judges that afterwards, and needs nothing else.
//! The [`lab`] makes it happen: through a [`proxy`] wherever something is said, with a [`workload`] all the time. What needs
//! no history to be judged goes into [`findings`]. [`campaign`] does that with many seeds.

pub mod history;

pub mod checker;

pub mod findings;

pub mod proxy;

pub mod workload;

pub mod lab;

pub mod campaign;
