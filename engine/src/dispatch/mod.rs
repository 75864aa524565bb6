//! Which worker gets which run: [`demand`] collects free slots, [`contention`] says how to claim where several servers claim, and
//! the [`dispatcher`] claims and delivers.

pub mod contention;
pub mod demand;
pub mod dispatcher;
