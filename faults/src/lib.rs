//! Injects faults, chosen by a seed, into real servers, real workers and a real PostgreSQL, and proves that every
//! promise was kept.
//!
//! Each actor records a [`history`] during a run. The [`checker`] judges the histories afterwards, and needs nothing else.
//! The [`lab`] runs the processes and injects the faults, with a [`proxy`] on each connection and a constant [`workload`].
//! [`findings`] are broken promises that need no history. A [`campaign`] runs many seeds.

pub mod history;

pub mod checker;

pub mod findings;

pub mod proxy;

pub mod workload;

pub mod lab;

pub mod campaign;
