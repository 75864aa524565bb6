//! Batches: waiting requests are carried out together, and no request waits for a batch to fill.
//!
//! A batch takes all requests that came while the last batch ran, up to a bound. The next batch begins when it has ended. So an idle
//! system adds no delay, and a busy one puts hundreds of requests into one statement.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::EngineError;
use crate::batch::budget::{Budget, Held};
use crate::domain::weight::Weight;

/// The bounds of one batch, and of all requests that are submitted and not answered yet.
#[derive(Debug, Clone, Copy)]
pub struct BatchBounds {
    /// Requests that may wait. Further requests are refused as overload.
    pub waiting: usize,
    /// Items of all submitted requests, likewise. A request with more items is taken when no other one waits.
    pub waiting_items: u32,
    /// Bytes of all submitted requests, likewise.
    pub waiting_bytes: u32,
    /// Items in one batch. A larger request gets a batch of its own.
    pub items: usize,
    /// Bytes in one batch, likewise.
    pub bytes: usize,
    /// What happens to a request whose caller has gone before its batch.
    pub abandoned: Abandoned,
}

/// What happens to a request whose caller has gone before its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// It is carried out all the same, because somebody relies on it.
    CarryOut,
    /// It is dropped. Nobody was promised that it would be done, and in an overload it would delay requests whose callers still wait.
    Drop,
}

/// A request to a batcher. Its items and its weight count against the bounds.
pub trait BatchRequest: Weight {
    fn items(&self) -> usize {
        1
    }
}

/// A request that was submitted and is not answered yet.
struct Waiting<I, O> {
    request: I,
    answer: oneshot::Sender<Result<O, EngineError>>,
    /// Its share of the budgets of items and bytes.
    room: [Held; 2],
}

/// Where requests to a loop of batches are submitted.
#[derive(Debug)]
pub struct Batcher<I, O> {
    sender: mpsc::Sender<Waiting<I, O>>,
    items: Budget,
    bytes: Budget,
    /// When the last batch ended.
    returned: watch::Receiver<Option<Instant>>,
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        let Self { sender, items, bytes, returned } = self;
        Self { sender: sender.clone(), items: items.clone(), bytes: bytes.clone(), returned: returned.clone() }
    }
}

impl<I: BatchRequest, O: Send> Batcher<I, O> {
    /// Submits a request and waits for its answer.
    pub async fn submit(&self, request: I) -> Result<O, EngineError> {
        self.send(request)?.await
    }

    /// Submits a request now, after those that were submitted before. The caller awaits the answer separately.
    fn send(&self, request: I) -> Result<impl Future<Output = Result<O, EngineError>> + Send + use<I, O>, EngineError> {
        let room = self.room(&request).ok_or(EngineError::Overloaded)?;
        let (answer, answered) = oneshot::channel();
        self.sender.try_send(Waiting { request, answer, room }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => EngineError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => EngineError::ShuttingDown,
        })?;
        Ok(async { answered.await.unwrap_or(Err(EngineError::ShuttingDown)) })
    }

    /// Whether requests wait or are carried out now, or a batch ended within this time.
    pub fn is_busy(&self, within: Duration) -> bool {
        self.items.is_taken() || self.returned.borrow().is_some_and(|at| at.elapsed() < within)
    }

    /// The room that a request takes until it is answered, if there is enough.
    fn room(&self, request: &I) -> Option<[Held; 2]> {
        Some([self.items.take(request.items())?, self.bytes.take(request.weight())?])
    }
}

/// Makes a loop of batches. `work` gets the requests of a batch, and returns an answer for each, in order. When `closing` is cancelled,
/// the loop takes no new requests, carries out those that wait, and ends.
pub fn batches<I, O, W, F>(
    bounds: BatchBounds,
    closing: CancellationToken,
    work: W,
) -> (Batcher<I, O>, impl Future<Output = ()> + Send)
where
    I: BatchRequest + Send + 'static,
    O: Send + 'static,
    W: Fn(Vec<I>) -> F + Send + 'static,
    F: Future<Output = Vec<Result<O, EngineError>>> + Send,
{
    let (sender, mut receiver) = mpsc::channel::<Waiting<I, O>>(bounds.waiting);
    let (returned, last_returned) = watch::channel(None);
    let is_dropped = move |waiting: &Waiting<I, O>| bounds.abandoned == Abandoned::Drop && waiting.answer.is_closed();
    let run = async move {
        let mut held_over: Option<Waiting<I, O>> = None;
        loop {
            let first = match held_over.take() {
                Some(first) => first,
                None => {
                    let next = tokio::select! {
                        next = receiver.recv() => next,
                        () = closing.cancelled(), if !receiver.is_closed() => {
                            receiver.close();
                            continue;
                        }
                    };
                    match next {
                        Some(first) => first,
                        None => return,
                    }
                }
            };
            if is_dropped(&first) {
                continue;
            }
            let (mut items, mut bytes) = (first.request.items(), first.request.weight());
            let (mut requests, mut answers) = (vec![first.request], vec![(first.answer, first.room)]);
            while let Ok(next) = receiver.try_recv() {
                if is_dropped(&next) {
                    continue;
                }
                items += next.request.items();
                bytes += next.request.weight();
                if items > bounds.items || bytes > bounds.bytes {
                    held_over = Some(next);
                    break;
                }
                requests.push(next.request);
                answers.push((next.answer, next.room));
            }
            let results = work(requests).await;
            returned.send_replace(Some(Instant::now()));
            for ((answer, room), result) in answers.into_iter().zip(results) {
                drop(room);
                // A caller that has gone does not read its answer.
                let _ = answer.send(result);
            }
        }
    };
    let (items, bytes) = (Budget::new(bounds.waiting_items), Budget::new(bounds.waiting_bytes));
    (Batcher { sender, items, bytes, returned: last_returned }, run)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    impl BatchRequest for usize {}

    const BOUNDS: BatchBounds = BatchBounds {
        waiting: 8,
        waiting_items: 8,
        waiting_bytes: 1_000,
        items: 4,
        bytes: 100,
        abandoned: Abandoned::CarryOut,
    };

    /// A loop in which each batch waits for a permit, and answers with its own number.
    fn gated(bounds: BatchBounds) -> (Batcher<usize, usize>, Arc<Semaphore>, impl Future<Output = ()> + Send) {
        let gate = Arc::new(Semaphore::new(0));
        let batch = Arc::new(AtomicUsize::new(0));
        let work_gate = gate.clone();
        let (handle, run) = batches(bounds, CancellationToken::new(), move |requests: Vec<usize>| {
            let (gate, number) = (work_gate.clone(), batch.fetch_add(1, Ordering::SeqCst));
            async move {
                gate.acquire().await.expect("the gate stays open").forget();
                requests.iter().map(|_| Ok(number)).collect()
            }
        });
        (handle, gate, run)
    }

    async fn batches_of(bounds: BatchBounds, requests: &[usize]) -> Vec<usize> {
        let (handle, gate, run) = gated(bounds);
        let calls = futures::future::join_all(requests.iter().map(|request| handle.submit(*request)));
        let open = async {
            tokio::task::yield_now().await;
            gate.add_permits(requests.len());
        };
        tokio::select! {
            (answers, ()) = async { tokio::join!(calls, open) } => answers.into_iter().map(|a| a.expect("answered")).collect(),
            () = run => unreachable!("the loop runs on"),
        }
    }

    #[tokio::test]
    async fn requests_that_wait_go_into_one_batch_up_to_its_bounds() {
        assert_eq!(batches_of(BOUNDS, &[1, 1, 1]).await, [0, 0, 0]);
        assert_eq!(batches_of(BOUNDS, &[1, 1, 1, 1, 1]).await, [0, 0, 0, 0, 1]);
        assert_eq!(batches_of(BOUNDS, &[60, 60, 1]).await, [0, 1, 1]);
        assert_eq!(batches_of(BOUNDS, &[500, 1]).await, [0, 1]);
    }

    #[tokio::test]
    async fn more_requests_than_may_wait_are_overload() {
        let (handle, _gate, _run) = gated(BatchBounds { waiting: 1, ..BOUNDS });
        let mut first = Box::pin(handle.submit(1));
        assert!(futures::poll!(&mut first).is_pending());
        assert!(matches!(handle.submit(1).await, Err(EngineError::Overloaded)));
    }

    #[tokio::test]
    async fn more_bytes_than_may_wait_are_overload_until_they_are_answered() {
        let (handle, gate, run) = gated(BOUNDS);
        let _running = tokio_util::task::AbortOnDropHandle::new(tokio::runtime::Handle::current().spawn(run));
        // A request that is larger than the budget is taken when it is alone.
        let first = handle.send(5_000).expect("there is room");
        assert!(matches!(handle.send(1).map(drop), Err(EngineError::Overloaded)));
        gate.add_permits(1);
        assert_eq!(first.await.expect("it is answered"), 0);
        let rest: Vec<_> = (0..10).map(|_| handle.send(100)).collect();
        assert_eq!(rest.iter().filter(|answer| answer.is_ok()).count(), 8, "as many items as may wait");
    }

    #[tokio::test]
    async fn a_request_whose_caller_has_gone_is_dropped_if_the_bounds_say_so() {
        for (abandoned, expected) in [(Abandoned::Drop, vec![1, 3]), (Abandoned::CarryOut, vec![1, 2, 3])] {
            let closing = CancellationToken::new();
            let (done, mut seen) = mpsc::unbounded_channel();
            let work = move |requests: Vec<usize>| {
                requests.iter().for_each(|request| done.send(*request).expect("it is read below"));
                async move { requests.into_iter().map(Ok).collect() }
            };
            let (handle, run) = batches(BatchBounds { abandoned, ..BOUNDS }, closing.clone(), work);
            let kept = handle.send(1).expect("there is room");
            drop(handle.send(2).expect("there is room"));
            let last = handle.send(3).expect("there is room");
            closing.cancel();
            run.await;
            assert_eq!((kept.await.expect("done"), last.await.expect("done")), (1, 3));
            drop(handle);
            let mut all = Vec::new();
            while let Some(one) = seen.recv().await {
                all.push(one);
            }
            assert_eq!(all, expected, "{abandoned:?}");
        }
    }

    #[tokio::test]
    async fn a_loop_is_busy_while_requests_wait_and_for_some_time_after_its_last_batch() {
        let (handle, gate, run) = gated(BOUNDS);
        let _running = tokio_util::task::AbortOnDropHandle::new(tokio::runtime::Handle::current().spawn(run));
        let hour = Duration::from_secs(3_600);
        assert!(!handle.is_busy(hour));
        let answer = handle.send(1).expect("there is room");
        assert!(handle.is_busy(Duration::ZERO));
        gate.add_permits(1);
        answer.await.expect("it is answered");
        assert!(handle.is_busy(hour));
        assert!(!handle.is_busy(Duration::ZERO));
    }

    #[tokio::test]
    async fn closing_carries_out_the_requests_that_wait() {
        let closing = CancellationToken::new();
        let (handle, run) =
            batches(
                BOUNDS,
                closing.clone(),
                |requests: Vec<usize>| async move { requests.into_iter().map(Ok).collect() },
            );
        let mut waiting = Box::pin(handle.submit(7));
        assert!(futures::poll!(&mut waiting).is_pending());
        closing.cancel();
        run.await;
        assert_eq!(waiting.await.expect("carried out"), 7);
        assert!(matches!(handle.submit(8).await, Err(EngineError::ShuttingDown)));
    }
}
