//! Batches: what waits goes together, and nothing waits for a batch to fill.
//!
//! A round takes all that has come while the last one was away, up to a bound, and the next begins when it has returned.
//! So an idle system adds no delay, and a busy one puts hundreds of requests into one statement.

use std::future::Future;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::EngineError;

/// How much one round takes at the most.
#[derive(Debug, Clone, Copy)]
pub struct RoundBounds {
    /// Requests that may wait; further ones are refused as overload.
    pub waiting: usize,
    /// Items in one round. A single request may be larger; it gets a round of its own.
    pub items: usize,
    /// Bytes in one round, likewise.
    pub bytes: usize,
}

/// What a request weighs against the bounds of a round.
pub trait Weigh {
    fn items(&self) -> usize {
        1
    }
    fn bytes(&self) -> usize {
        0
    }
}

type Waiting<I, O> = (I, oneshot::Sender<Result<O, EngineError>>);

/// Where requests to a loop of rounds are handed in.
#[derive(Debug)]
pub struct Rounds<I, O> {
    sender: mpsc::Sender<Waiting<I, O>>,
}

impl<I, O> Clone for Rounds<I, O> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone() }
    }
}

impl<I, O: Send> Rounds<I, O> {
    /// Hands a request in and waits for its answer. Once handed in it is carried out, whether anybody waits or not.
    pub async fn submit(&self, request: I) -> Result<O, EngineError> {
        self.hand_in(request)?.await
    }

    /// Hands a request in, now and in order; the answer is awaited apart.
    pub fn hand_in(
        &self,
        request: I,
    ) -> Result<impl Future<Output = Result<O, EngineError>> + Send + use<I, O>, EngineError> {
        let (answer, answered) = oneshot::channel();
        self.sender.try_send((request, answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => EngineError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => EngineError::ShuttingDown,
        })?;
        Ok(async { answered.await.unwrap_or(Err(EngineError::ShuttingDown)) })
    }
}

/// Makes a loop of rounds. `work` gets the requests of a round and answers each, in order. When `closing` is cancelled the
/// loop takes nothing new, carries out what waits, and ends.
pub fn rounds<I, O, W, F>(
    bounds: RoundBounds,
    closing: CancellationToken,
    work: W,
) -> (Rounds<I, O>, impl Future<Output = ()> + Send)
where
    I: Weigh + Send + 'static,
    O: Send + 'static,
    W: Fn(Vec<I>) -> F + Send + 'static,
    F: Future<Output = Vec<Result<O, EngineError>>> + Send,
{
    let (sender, mut receiver) = mpsc::channel::<Waiting<I, O>>(bounds.waiting);
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
            let (mut items, mut bytes) = (first.0.items(), first.0.bytes());
            let (mut requests, mut answers) = (vec![first.0], vec![first.1]);
            while let Ok(next) = receiver.try_recv() {
                items += next.0.items();
                bytes += next.0.bytes();
                if items > bounds.items || bytes > bounds.bytes {
                    held_over = Some(next);
                    break;
                }
                requests.push(next.0);
                answers.push(next.1);
            }
            for (answer, result) in answers.into_iter().zip(work(requests).await) {
                // A caller that has gone away does not read its answer.
                let _ = answer.send(result);
            }
        }
    };
    (Rounds { sender }, run)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    impl Weigh for u32 {
        fn bytes(&self) -> usize {
            *self as usize
        }
    }

    const BOUNDS: RoundBounds = RoundBounds { waiting: 8, items: 4, bytes: 100 };

    /// Rounds that wait for a permit each, and count themselves.
    fn gated(bounds: RoundBounds) -> (Rounds<u32, usize>, Arc<Semaphore>, impl Future<Output = ()> + Send) {
        let gate = Arc::new(Semaphore::new(0));
        let round = Arc::new(AtomicUsize::new(0));
        let work_gate = gate.clone();
        let (handle, run) = rounds(bounds, CancellationToken::new(), move |requests: Vec<u32>| {
            let (gate, number) = (work_gate.clone(), round.fetch_add(1, Ordering::SeqCst));
            async move {
                gate.acquire().await.expect("the gate stays open").forget();
                requests.iter().map(|_| Ok(number)).collect()
            }
        });
        (handle, gate, run)
    }

    async fn rounds_of(bounds: RoundBounds, requests: &[u32]) -> Vec<usize> {
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
    async fn what_waits_together_goes_together_up_to_the_bounds() {
        assert_eq!(rounds_of(BOUNDS, &[1, 1, 1]).await, [0, 0, 0]);
        assert_eq!(rounds_of(BOUNDS, &[1, 1, 1, 1, 1]).await, [0, 0, 0, 0, 1]);
        assert_eq!(rounds_of(BOUNDS, &[60, 60, 1]).await, [0, 1, 1]);
        assert_eq!(rounds_of(BOUNDS, &[500, 1]).await, [0, 1]);
    }

    #[tokio::test]
    async fn more_than_may_wait_is_overload() {
        let (handle, _gate, _run) = gated(RoundBounds { waiting: 1, ..BOUNDS });
        let mut first = Box::pin(handle.submit(1));
        assert!(futures::poll!(&mut first).is_pending());
        assert!(matches!(handle.submit(1).await, Err(EngineError::Overloaded)));
    }

    #[tokio::test]
    async fn closing_carries_out_what_waits() {
        let closing = CancellationToken::new();
        let (handle, run) =
            rounds(BOUNDS, closing.clone(), |requests: Vec<u32>| async move { requests.into_iter().map(Ok).collect() });
        let mut waiting = Box::pin(handle.submit(7));
        assert!(futures::poll!(&mut waiting).is_pending());
        closing.cancel();
        run.await;
        assert_eq!(waiting.await.expect("carried out"), 7);
        assert!(matches!(handle.submit(8).await, Err(EngineError::ShuttingDown)));
    }
}
