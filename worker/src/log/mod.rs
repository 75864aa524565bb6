//! The logs of runs on their way to the server: a bounded queue for each grant (`queue`), and what sends them in turn
//! (`outbox`).

pub(crate) mod outbox;
pub(crate) mod queue;
