//! The logs of all grants. They take turns, within the credits of the stream.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    grant::key::GrantKey,
    log::queue::{Batch, EventQueue, Ready},
};

/// Limits of one frame: a heartbeat that becomes due waits for one such frame at most.
const FRAME_ENTRIES: usize = 256;
const FRAME_BYTES: usize = 256 * 1024;

/// The logs of all grants.
#[derive(Debug, Default)]
pub(crate) struct EventOutbox {
    queues: HashMap<GrantKey, Arc<EventQueue>>,
    ready: Arc<Ready>,
    /// How many entries may be sent now, and how many may be unacknowledged altogether; both 0 without a stream.
    credits: usize,
    limit: usize,
}

impl EventOutbox {
    /// Adds a queue for a grant that starts.
    pub(crate) fn open(&mut self, key: GrantKey) -> Arc<EventQueue> {
        let queue = Arc::new(EventQueue::new(key, Arc::clone(&self.ready)));
        self.queues.insert(key, Arc::clone(&queue));
        queue
    }

    /// The signal that a queue may have something to send.
    pub(crate) fn ready(&self) -> Arc<Ready> {
        Arc::clone(&self.ready)
    }

    /// A stream began: everything without an acknowledgement is sent again.
    pub(crate) fn resume(&mut self, credits: usize) {
        (self.credits, self.limit) = (credits, credits);
        for queue in self.queues.values() {
            queue.rewind();
        }
    }

    /// The stream is lost.
    pub(crate) fn pause(&mut self) {
        (self.credits, self.limit) = (0, 0);
    }

    pub(crate) fn can_send(&self) -> bool {
        self.credits > 0 && !self.ready.is_empty()
    }

    /// Whether entries that were sent on this stream are not answered.
    pub(crate) fn has_unanswered(&self) -> bool {
        self.credits < self.limit
    }

    /// The next entries of one grant, of up to so many bytes. The grants take turns.
    pub(crate) fn next(&mut self, frame_bytes: usize) -> Option<(GrantKey, Batch)> {
        while self.credits > 0 {
            let key = self.ready.pop()?;
            // The line may still have a grant that is over.
            let Some(queue) = self.queues.get(&key) else { continue };
            if let Some(batch) = queue.take(FRAME_ENTRIES.min(self.credits), FRAME_BYTES.min(frame_bytes)) {
                self.credits -= batch.entries.len();
                return Some((key, batch));
            }
        }
        None
    }

    /// The server has kept entries. Their credits come back, even if the grant is over here.
    pub(crate) fn acknowledge(&mut self, key: GrantKey, through_seq: i64, credits: usize) {
        self.credits = (self.credits + credits).min(self.limit);
        if let Some(queue) = self.queues.get(&key) {
            queue.acknowledge(through_seq);
        }
    }

    /// The server has refused entries up to this number, as many as credits come back.
    pub(crate) fn refuse(&mut self, key: GrantKey, through_seq: i64, credits: usize) {
        self.credits = (self.credits + credits).min(self.limit);
        if let Some(queue) = self.queues.get(&key) {
            queue.refuse(through_seq, credits);
        }
    }

    /// The handler has ended. What it logged is still sent.
    pub(crate) fn close(&mut self, key: GrantKey) {
        if let Some(queue) = self.queues.get(&key) {
            queue.close();
        }
    }

    /// True if the server has acknowledged or refused everything that the grant logged.
    pub(crate) fn is_flushed(&self, key: GrantKey) -> bool {
        self.queues.get(&key).is_none_or(|queue| queue.is_empty())
    }

    /// The grant is over: drops the rest of its log.
    pub(crate) fn remove(&mut self, key: GrantKey) {
        if let Some(queue) = self.queues.remove(&key) {
            queue.drop_all();
        }
    }

    /// How many entries have no acknowledgement.
    pub(crate) fn waiting(&self) -> usize {
        self.ready.waiting.load(Ordering::Relaxed)
    }

    /// How many entries were refused or dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.ready.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::api::log_entry::{Content, Level, LogEntry};

    fn key(run: u128) -> GrantKey {
        GrantKey { run_id: Uuid::from_u128(run), fence: 1 }
    }

    async fn log(queue: &EventQueue, count: usize) {
        for _ in 0..count {
            let content = Content::Text("x".into());
            queue.push(LogEntry { level: Level::Info, content, data_json: String::new() }).await;
        }
    }

    fn sent(outbox: &mut EventOutbox) -> Vec<(u128, i64, usize)> {
        std::iter::from_fn(|| outbox.next(FRAME_BYTES))
            .map(|(key, batch)| (key.run_id.as_u128(), batch.first_seq, batch.entries.len()))
            .collect()
    }

    #[tokio::test]
    async fn no_more_is_unacknowledged_than_there_are_credits() {
        let mut outbox = EventOutbox::default();
        let queue = outbox.open(key(1));
        log(&queue, 5).await;
        assert!(!outbox.can_send(), "there is no stream yet");
        outbox.resume(3);
        assert_eq!(sent(&mut outbox), [(1, 1, 3)]);
        assert!(!outbox.can_send());
        outbox.acknowledge(key(1), 2, 2);
        assert_eq!(sent(&mut outbox), [(1, 4, 2)]);
        outbox.acknowledge(key(1), 5, 3);
        assert!(outbox.is_flushed(key(1)));
    }

    #[tokio::test]
    async fn grants_take_turns() {
        let mut outbox = EventOutbox::default();
        let (flood, quiet) = (outbox.open(key(1)), outbox.open(key(2)));
        log(&flood, FRAME_ENTRIES * 2).await;
        log(&quiet, 1).await;
        outbox.resume(10_000);
        let order: Vec<_> = sent(&mut outbox).into_iter().map(|(run, ..)| run).collect();
        assert_eq!(order, [1, 2, 1]);
    }

    #[tokio::test]
    async fn after_a_resume_only_what_is_not_acknowledged_is_sent_again() {
        let mut outbox = EventOutbox::default();
        let queue = outbox.open(key(1));
        log(&queue, 4).await;
        outbox.resume(10);
        assert_eq!(sent(&mut outbox), [(1, 1, 4)]);
        outbox.acknowledge(key(1), 2, 2);
        outbox.pause();
        log(&queue, 1).await;
        outbox.resume(10);
        assert_eq!(sent(&mut outbox), [(1, 3, 3)]);
    }

    #[tokio::test]
    async fn credits_come_back_for_grants_that_are_over() {
        let mut outbox = EventOutbox::default();
        let queue = outbox.open(key(1));
        log(&queue, 2).await;
        outbox.resume(2);
        sent(&mut outbox);
        outbox.remove(key(1));
        outbox.refuse(key(1), 2, 2);
        let queue = outbox.open(key(2));
        log(&queue, 1).await;
        assert_eq!(sent(&mut outbox), [(2, 1, 1)]);
    }
}
