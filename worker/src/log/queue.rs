//! The log of one grant on its way to the server: numbered, bounded, and kept until the server has acknowledged it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::{api::log_entry::LogEntry, grant::key::GrantKey};

/// Bytes of one grant's log without an acknowledgement. A handler that logs more waits.
pub(crate) const ROOM_BYTES: usize = 1024 * 1024;
/// The bytes that an entry counts beside its content.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// The queues that have something to send, and a signal for the next one. All queues of a worker share it. A queue is in it at
/// most once, so it is bounded by the number of queues.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    keys: Mutex<VecDeque<GrantKey>>,
    signal: Notify,
    /// How many entries all queues keep now, and how many were dropped so far.
    pub(crate) waiting: AtomicUsize,
    pub(crate) dropped: AtomicU64,
}

impl Ready {
    pub(crate) fn push(&self, key: GrantKey) {
        self.keys().push_back(key);
        self.signal.notify_one();
    }

    pub(crate) fn pop(&self) -> Option<GrantKey> {
        self.keys().pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys().is_empty()
    }

    pub(crate) async fn signalled(&self) {
        self.signal.notified().await;
    }

    fn keys(&self) -> MutexGuard<'_, VecDeque<GrantKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log of one grant.
#[derive(Debug)]
pub(crate) struct EventQueue {
    key: GrantKey,
    room: Arc<Semaphore>,
    ready: Arc<Ready>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The number of the last added entry.
    last_seq: i64,
    /// In the order of their numbers. There are gaps where the server refused entries.
    entries: VecDeque<Kept>,
    /// How many of the entries are sent on this stream.
    sent: usize,
    /// Whether the queue is in `Ready`.
    is_ready: bool,
    is_closed: bool,
}

#[derive(Debug)]
struct Kept {
    seq: i64,
    entry: LogEntry,
    _room: OwnedSemaphorePermit,
}

/// Entries to send together.
#[derive(Debug, PartialEq)]
pub(crate) struct Batch {
    pub(crate) first_seq: i64,
    pub(crate) entries: Vec<LogEntry>,
}

impl Batch {
    /// Its size in a frame, about.
    pub(crate) fn size(&self) -> usize {
        self.entries.iter().map(|entry| entry.size() + ENTRY_OVERHEAD_BYTES).sum()
    }
}

impl EventQueue {
    pub(crate) fn new(key: GrantKey, ready: Arc<Ready>) -> Self {
        let state = State { last_seq: 0, entries: VecDeque::new(), sent: 0, is_ready: false, is_closed: false };
        Self { key, room: Arc::new(Semaphore::new(ROOM_BYTES)), ready, state: Mutex::new(state) }
    }

    /// Waits for room and adds an entry. A closed queue takes nothing.
    pub(crate) async fn push(&self, entry: LogEntry) {
        let cost = (entry.size() + ENTRY_OVERHEAD_BYTES).min(ROOM_BYTES);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(cost).await else { return };
        let mut state = self.state();
        if !state.is_closed {
            state.last_seq += 1;
            let seq = state.last_seq;
            state.entries.push_back(Kept { seq, entry, _room: room });
            self.ready.waiting.fetch_add(1, Ordering::Relaxed);
            self.make_ready(&mut state);
        }
    }

    /// Takes the next unsent entries, without a gap in their numbers, and counts them as sent. The queue stays ready while it
    /// has more.
    pub(crate) fn take(&self, max_entries: usize, max_bytes: usize) -> Option<Batch> {
        let mut state = self.state();
        state.is_ready = false;
        let first_seq = state.entries.get(state.sent).map_or(0, |kept| kept.seq);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for (kept, seq) in state.entries.iter().skip(state.sent).take(max_entries).zip(first_seq..) {
            bytes += kept.entry.size();
            if kept.seq != seq || (bytes > max_bytes && !entries.is_empty()) {
                break;
            }
            entries.push(kept.entry.clone());
        }
        state.sent += entries.len();
        if state.sent < state.entries.len() {
            self.make_ready(&mut state);
        }
        (!entries.is_empty()).then_some(Batch { first_seq, entries })
    }

    /// The server has kept all entries up to this number.
    pub(crate) fn acknowledge(&self, through_seq: i64) {
        let kept = self.state().drop_entries(|seq| seq <= through_seq);
        self.ready.waiting.fetch_sub(kept, Ordering::Relaxed);
    }

    /// The server has refused `count` entries, the last of which has this number: drops them. Earlier entries may still be on
    /// their way.
    pub(crate) fn refuse(&self, through_seq: i64, count: usize) {
        let after = through_seq.saturating_sub_unsigned(count as u64);
        let refused = self.state().drop_entries(|seq| after < seq && seq <= through_seq);
        self.count_dropped(refused);
    }

    /// Drops all entries, and takes no more.
    pub(crate) fn drop_all(&self) {
        self.close();
        let left = self.state().drop_entries(|_| true);
        self.count_dropped(left);
    }

    fn count_dropped(&self, entries: usize) {
        self.ready.waiting.fetch_sub(entries, Ordering::Relaxed);
        self.ready.dropped.fetch_add(entries as u64, Ordering::Relaxed);
    }

    /// A new stream began: everything without an acknowledgement is sent again.
    pub(crate) fn rewind(&self) {
        let mut state = self.state();
        state.sent = 0;
        if !state.entries.is_empty() {
            self.make_ready(&mut state);
        }
    }

    /// Takes no more entries, nor those that wait for room.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.room.close();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state().entries.is_empty()
    }

    fn make_ready(&self, state: &mut State) {
        if !state.is_ready {
            state.is_ready = true;
            self.ready.push(self.key);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Drops the entries that are over, and returns how many.
    fn drop_entries(&mut self, is_over: impl Fn(i64) -> bool) -> usize {
        let before = self.entries.len();
        let sent_and_over = self.entries.iter().take(self.sent).filter(|kept| is_over(kept.seq)).count();
        self.entries.retain(|kept| !is_over(kept.seq));
        self.sent -= sent_and_over;
        before - self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::api::log_entry::{Content, Level};

    fn queue() -> Arc<EventQueue> {
        let key = GrantKey { run_id: Uuid::from_u128(1), fence: 1 };
        Arc::new(EventQueue::new(key, Arc::default()))
    }

    fn entry(text: &str) -> LogEntry {
        LogEntry { level: Level::Info, content: Content::Text(text.into()), data_json: String::new() }
    }

    fn texts(batch: Option<Batch>) -> (i64, Vec<String>) {
        let batch = batch.unwrap();
        let texts = batch.entries.into_iter().map(|entry| match entry.content {
            Content::Text(text) => text,
            Content::Bytes(_) => panic!("expected text"),
        });
        (batch.first_seq, texts.collect())
    }

    #[tokio::test]
    async fn entries_are_sent_once_a_stream_until_acknowledged() {
        let queue = queue();
        for text in ["a", "b", "c"] {
            queue.push(entry(text)).await;
        }
        assert_eq!(texts(queue.take(2, 1000)), (1, vec!["a".into(), "b".into()]));
        assert_eq!(texts(queue.take(2, 1000)), (3, vec!["c".into()]));
        assert_eq!(queue.take(2, 1000), None);
        queue.acknowledge(1);
        queue.rewind();
        assert_eq!(texts(queue.take(9, 1000)), (2, vec!["b".into(), "c".into()]));
        queue.acknowledge(3);
        assert!(queue.is_empty());
        queue.push(entry("d")).await;
        assert_eq!(texts(queue.take(9, 1000)), (4, vec!["d".into()]));
    }

    #[tokio::test]
    async fn refused_entries_are_dropped_and_the_next_ones_keep_their_numbers() {
        let queue = queue();
        for text in ["a", "b", "c", "d"] {
            queue.push(entry(text)).await;
        }
        queue.take(3, 1000);
        // This answer overtakes the answer for the first entry.
        queue.refuse(3, 2);
        queue.rewind();
        assert_eq!(texts(queue.take(9, 1000)), (1, vec!["a".into()]));
        assert_eq!(texts(queue.take(9, 1000)), (4, vec!["d".into()]));
        queue.acknowledge(4);
        assert!(queue.is_empty());
    }

    #[tokio::test]
    async fn a_flooding_handler_waits_until_entries_are_acknowledged() {
        let queue = queue();
        let big = "x".repeat(ROOM_BYTES / 2);
        queue.push(entry(&big)).await;
        let mut second = Box::pin(queue.push(entry(&big)));
        assert!(poll_once(&mut second).await.is_none(), "there is no room for the second");
        queue.take(1, 1);
        queue.acknowledge(1);
        second.await;
        assert_eq!(queue.take(1, 1).unwrap().first_seq, 2);
    }

    #[tokio::test]
    async fn a_closed_queue_releases_handlers_that_wait_and_takes_nothing_more() {
        let queue = queue();
        queue.push(entry(&"x".repeat(ROOM_BYTES))).await;
        let mut waiting = Box::pin(queue.push(entry("y")));
        assert!(poll_once(&mut waiting).await.is_none());
        queue.close();
        waiting.await;
        queue.acknowledge(1);
        queue.push(entry("z")).await;
        assert!(queue.is_empty());
    }

    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! { biased; output = future => Some(output), () = std::future::ready(()) => None }
    }
}
