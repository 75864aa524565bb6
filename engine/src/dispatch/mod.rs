//! Which worker gets which run. [`demand`] collects the free slots. [`contention`] says how to claim from the queue of one group, and
//! `strategy` what comes after a pass over all groups; both are pure. `lost_claims` gives back claims whose answer was lost. The
//! [`dispatcher`] claims and delivers.

pub mod contention;
pub mod demand;
pub mod dispatcher;
mod lost_claims;
mod strategy;
