//! Injects faults, chosen by a seed, into real servers, real workers and a real PostgreSQL, and proves that every
//! promise was kept.
//!
//! [`history`] is what each actor writes down during a run; [`checker`] judges it afterwards, and needs nothing else.
//! [`lab`] runs the processes and injects the faults, with a [`proxy`] on each connection and a [`workload`] all the
//! time. [`findings`] are broken promises that need no history. [`campaign`] runs many seeds.

pub mod history;

pub mod checker;

pub mod findings;

pub mod proxy;

pub mod workload;

pub mod lab;

pub mod campaign;
