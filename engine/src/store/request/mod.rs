//! Request ids, so that one request has one result: [`id`] handles one, [`batch`] handles many at once, and [`claim_call`] those of claims,
//! which wait for their result.

pub mod batch;
pub mod claim_call;
pub mod id;
