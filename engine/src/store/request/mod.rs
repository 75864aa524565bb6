//! Request ids, so that one request has one result: [`id`] handles one, [`batch`] handles many at once.

pub mod batch;
pub mod id;
