//! Request ids: one [`id`] keeps one request to one result, a [`batch`] does so for many at once.

pub mod batch;
pub mod id;
