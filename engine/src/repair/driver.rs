//! The driver of all repairs: it waits for the trigger of each, does it, logs and measures the try, and remembers the result.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::db::StoreError;
use crate::repair::status::{Repairs, Status};
use crate::store::poll::Found;
use crate::telemetry::Metrics;

/// What triggers a repair.
#[derive(Debug, Clone, Copy)]
pub enum Trigger {
    /// The start of the server, and then each end of this period after a try.
    Each(Duration),
    /// A poll that found something to do.
    Found(fn(&Found) -> bool),
}

/// The changes of a try: a number of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    pub fn new(counts: impl IntoIterator<Item = (&'static str, u64)>) -> Self {
        Self(counts.into_iter().collect())
    }

    /// Whether the try changed nothing.
    pub fn is_nothing(&self) -> bool {
        self.0.iter().all(|(_, count)| *count == 0)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.0.iter().map(|(what, count)| format!("{what}={count}")).collect();
        f.write_str(&counts.join(" "))
    }
}

/// The result of a try that did not fail.
#[derive(Debug)]
pub enum Done {
    /// The try changed this much. If there is more to do, the next try follows at once.
    Changed { counts: Counts, is_more: bool },
    /// This server can not do the repair, and does not try again.
    GivenUp,
}

impl Done {
    /// The try changed this much, and there is no more to do.
    pub fn changed(counts: impl IntoIterator<Item = (&'static str, u64)>) -> Self {
        Self::Changed { counts: Counts::new(counts), is_more: false }
    }

    /// The try changed this much. If it changed anything, there may be more to do.
    pub fn until_nothing(counts: impl IntoIterator<Item = (&'static str, u64)>) -> Self {
        let counts = Counts::new(counts);
        Self::Changed { is_more: !counts.is_nothing(), counts }
    }
}

type Once = Box<dyn Fn() -> BoxFuture<'static, Result<Done, StoreError>> + Send + Sync>;

/// A repair: idempotent and without input, so that every server may do it at any time.
pub struct Repair {
    trigger: Trigger,
    rest: u32,
    once: Once,
    wake: Arc<Notify>,
    status: Arc<Status>,
}

impl fmt::Debug for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repair").field("status", &self.status).field("trigger", &self.trigger).finish_non_exhaustive()
    }
}

impl Repair {
    /// A repair by its name, its trigger and one try of it. After a try that fails it waits for its trigger again.
    pub fn new<F>(name: &'static str, trigger: Trigger, once: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Done, StoreError>> + Send + 'static,
    {
        let once = Box::new(move || once().boxed());
        Self { trigger, rest: 0, once, wake: Arc::default(), status: Arc::new(Status::new(name)) }
    }

    /// After each try the repair rests `rest` times as long as the try took.
    pub fn resting(self, rest: u32) -> Self {
        Self { rest, ..self }
    }

    /// How the poll wakes it, if the poll is its trigger.
    pub fn waker(&self) -> Option<Waker> {
        match self.trigger {
            Trigger::Each(_) => None,
            Trigger::Found(is_needed) => {
                Some(Waker { is_needed, wake: self.wake.clone(), status: self.status.clone() })
            }
        }
    }
}

/// Wakes one repair.
#[derive(Debug)]
pub struct Waker {
    is_needed: fn(&Found) -> bool,
    wake: Arc<Notify>,
    status: Arc<Status>,
}

impl Waker {
    /// Wakes the repair if the poll found something to do for it.
    pub fn polled(&self, found: &Found) {
        if (self.is_needed)(found) {
            self.wake.notify_one();
        } else {
            self.status.not_needed();
        }
    }
}

/// Drives these repairs until `closing`. Returns their statuses.
pub fn start(repairs: Vec<Repair>, metrics: &Metrics, tasks: &mut JoinSet<()>, closing: &CancellationToken) -> Repairs {
    let statuses = Repairs::new(repairs.iter().map(|repair| repair.status.clone()));
    for repair in repairs {
        metrics.repair_seconds.with_label_values(&[repair.status.name]);
        metrics.repair_failures.with_label_values(&[repair.status.name]);
        tasks.spawn(drive(repair, metrics.clone(), closing.clone()));
    }
    statuses
}

async fn drive(repair: Repair, metrics: Metrics, closing: CancellationToken) {
    let mut period = Duration::ZERO;
    loop {
        let triggered = async {
            match repair.trigger {
                Trigger::Each(_) => tokio::time::sleep(period).await,
                Trigger::Found(_) => repair.wake.notified().await,
            }
        };
        if closing.run_until_cancelled(triggered).await.is_none() {
            return;
        }
        if let Trigger::Each(each) = repair.trigger {
            period = each;
        }
        loop {
            match attempt(&repair, &metrics).await {
                Next::Again if !closing.is_cancelled() => {}
                Next::Again | Next::Trigger => break,
                Next::Rest(rest) => {
                    closing.run_until_cancelled(tokio::time::sleep(rest)).await;
                    break;
                }
                Next::Never => return closing.cancelled().await,
            }
        }
    }
}

/// What follows from a try.
enum Next {
    /// Another one, at once.
    Again,
    /// The trigger.
    Trigger,
    /// A rest, then the trigger.
    Rest(Duration),
    /// Nothing.
    Never,
}

/// Makes one try.
async fn attempt(repair: &Repair, metrics: &Metrics) -> Next {
    let (name, began) = (repair.status.name, Instant::now());
    let done = (repair.once)().await;
    let took = began.elapsed();
    let rest = took * repair.rest;
    metrics.repair_seconds.with_label_values(&[name]).observe(took.as_secs_f64());
    let (result, is_more) = match done {
        Ok(Done::Changed { counts, is_more }) => (Ok(counts), is_more),
        Ok(Done::GivenUp) => {
            repair.status.given_up();
            return Next::Never;
        }
        Err(error) => (Err(error), false),
    };
    match (&result, repair.status.tried(result.is_ok(), rest)) {
        (Err(error), true) => tracing::warn!(repair = name, %error, "a repair fails; it is tried again"),
        (Err(error), false) => tracing::debug!(repair = name, %error, "a repair still fails"),
        (Ok(_), true) => tracing::info!(repair = name, "a repair succeeds again"),
        (Ok(_), false) => {}
    }
    match &result {
        Ok(counts) if !counts.is_nothing() => tracing::info!(repair = name, %counts, "repaired"),
        Ok(_) => {}
        Err(_) => metrics.repair_failures.with_label_values(&[name]).inc(),
    }
    match (is_more, rest) {
        (true, _) => Next::Again,
        (false, Duration::ZERO) => Next::Trigger,
        (false, rest) => Next::Rest(rest),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::mpsc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NEEDED: Found = Found { due: true, ..NOTHING };
    const NOTHING: Found = Found {
        resumed: false,
        set_back: false,
        claimable: false,
        due: false,
        overdue: false,
        orders: false,
        replaced: false,
        unfinished_cancels: false,
        counters: false,
        littered: false,
    };

    /// A repair whose tries end as the test says, one after the other.
    struct Fixture {
        waker: Option<Waker>,
        repairs: Repairs,
        metrics: Metrics,
        closing: CancellationToken,
        tasks: JoinSet<()>,
        tries: mpsc::UnboundedReceiver<Duration>,
        results: Arc<Mutex<Vec<Result<Done, StoreError>>>>,
        began: Instant,
    }

    fn failure() -> Result<Done, StoreError> {
        Err(StoreError::Unavailable("away".into()))
    }

    fn count(number: u64) -> Result<Done, StoreError> {
        Ok(Done::until_nothing([("runs", number)]))
    }

    impl Fixture {
        /// Each try takes `takes`, and ends with the next of the results. A try after the last result changes nothing.
        fn new(trigger: Trigger, rest: u32, takes: Duration, results: Vec<Result<Done, StoreError>>) -> Self {
            let (tried, tries) = mpsc::unbounded_channel();
            let began = Instant::now();
            let results = Arc::new(Mutex::new(results));
            let left = results.clone();
            let once = move || {
                tried.send(began.elapsed()).expect("the test reads it");
                let mut left = left.lock().expect("not poisoned");
                let result = if left.is_empty() { Ok(Done::changed([])) } else { left.remove(0) };
                async move {
                    tokio::time::sleep(takes).await;
                    result
                }
            };
            let (metrics, closing) = (Metrics::default(), CancellationToken::new());
            let repair = Repair::new("test", trigger, once).resting(rest);
            let (waker, mut tasks) = (repair.waker(), JoinSet::new());
            let repairs = start(vec![repair], &metrics, &mut tasks, &closing);
            Self { waker, repairs, metrics, closing, tasks, tries, results, began }
        }

        fn woken(results: Vec<Result<Done, StoreError>>) -> Self {
            Self::new(Trigger::Found(|found| found.due), 0, Duration::ZERO, results)
        }

        fn polled(&self, found: &Found) {
            self.waker.as_ref().expect("the poll wakes it").polled(found);
        }

        fn status(&self) -> &Status {
            self.repairs.iter().next().expect("there is one")
        }

        /// The number of tries that have ended, and the seconds that they took.
        fn tries_ended(&self) -> (u64, f64) {
            let seconds = self.metrics.repair_seconds.with_label_values(&["test"]);
            (seconds.get_sample_count(), seconds.get_sample_sum())
        }

        fn failures(&self) -> u64 {
            self.metrics.repair_failures.with_label_values(&["test"]).get()
        }

        /// When the tries until this second began, in seconds from the start.
        async fn tries_until(&mut self, seconds: u32) -> Vec<u64> {
            tokio::time::sleep_until(self.began + SECOND * seconds + SECOND / 2).await;
            let mut begins = Vec::new();
            while let Ok(at) = self.tries.try_recv() {
                begins.push(at.as_secs());
            }
            begins
        }

        async fn ends(mut self) {
            self.closing.cancel();
            while self.tasks.join_next().await.is_some() {}
        }
    }

    #[test]
    fn counts_are_logged_by_their_names() {
        let counts = Counts::new([("runs", 7), ("workers", 0)]);
        assert_eq!((counts.to_string().as_str(), counts.is_nothing()), ("runs=7 workers=0", false));
        assert!(Counts::new([("runs", 0)]).is_nothing());
    }

    #[tokio::test(start_paused = true)]
    async fn a_repair_with_a_period_is_tried_at_the_start_and_a_period_after_each_end() {
        let changed = Ok(Done::changed([("runs", 7)]));
        let mut fixture = Fixture::new(Trigger::Each(SECOND * 3), 0, SECOND * 2, vec![failure(), changed]);
        assert!(fixture.waker.is_none());
        assert_eq!(fixture.tries_until(11).await, [0, 5, 10]);
        assert_eq!(fixture.tries_ended(), (2, 4.0));
        fixture.ends().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_repair_that_the_poll_wakes_is_tried_until_nothing_is_left_or_it_fails() {
        let mut fixture = Fixture::woken(vec![count(2), count(1), count(0), count(1), failure(), count(3)]);
        fixture.polled(&NOTHING);
        assert_eq!(fixture.tries_until(0).await.len(), 0);
        for tries in [3, 2, 2, 1] {
            fixture.polled(&NEEDED);
            let seconds = fixture.began.elapsed().as_secs() as u32 + 1;
            assert_eq!(fixture.tries_until(seconds).await.len(), tries);
        }
        assert_eq!(fixture.failures(), 1);
        assert!(fixture.results.lock().expect("not poisoned").is_empty());
        fixture.ends().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_repair_has_no_age_while_it_succeeds_or_has_nothing_to_do_and_ages_while_it_fails() {
        let mut fixture = Fixture::woken(vec![failure(), failure(), count(0), failure()]);
        let age = |fixture: &Fixture| fixture.status().age().as_secs();
        assert_eq!(fixture.tries_ended().0, 0);
        fixture.tries_until(9).await;
        fixture.polled(&NOTHING);
        assert_eq!((age(&fixture), fixture.status().is_failing()), (0, false));
        for failures in [1, 2] {
            fixture.polled(&NEEDED);
            fixture.tries_until(9 + 10 * failures).await;
            assert_eq!((age(&fixture), fixture.status().is_failing()), (10 * u64::from(failures), true));
            assert_eq!(fixture.failures(), u64::from(failures));
        }
        fixture.polled(&NEEDED);
        fixture.tries_until(30).await;
        assert_eq!((age(&fixture), fixture.status().is_failing(), fixture.failures()), (1, false, 2));
        fixture.polled(&NEEDED);
        fixture.tries_until(40).await;
        assert_eq!((age(&fixture), fixture.status().is_failing(), fixture.failures()), (11, true, 3));
        fixture.polled(&NOTHING);
        assert_eq!((age(&fixture), fixture.status().is_failing()), (0, false), "another server has done it");
        assert_eq!(fixture.tries_ended().0, 4);
        fixture.ends().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_repair_that_rests_is_not_tried_and_does_not_age() {
        let mut fixture = Fixture::new(Trigger::Found(|found| found.due), 10, SECOND * 2, Vec::new());
        for second in 0..30 {
            fixture.polled(&NEEDED);
            assert_eq!(fixture.tries_until(second).await.len(), usize::from([0, 22].contains(&second)), "{second}");
            assert!(fixture.status().age() < SECOND * 3, "{second}");
        }
        fixture.ends().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_repair_that_this_server_can_not_do_is_not_tried_again_and_is_no_failure() {
        let mut fixture = Fixture::woken(vec![Ok(Done::GivenUp)]);
        for tries in [1, 0, 0] {
            fixture.polled(&NEEDED);
            let seconds = fixture.began.elapsed().as_secs() as u32 + 100;
            assert_eq!(fixture.tries_until(seconds).await.len(), tries);
        }
        assert_eq!((fixture.status().age(), fixture.status().is_failing()), (Duration::ZERO, false));
        fixture.ends().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_lets_a_try_end_and_begins_no_other() {
        let results = vec![count(1), count(1)];
        let mut fixture = Fixture::new(Trigger::Found(|found| found.due), 10, SECOND * 5, results);
        fixture.polled(&NEEDED);
        assert_eq!(fixture.tries_until(1).await, [0]);
        fixture.closing.cancel();
        while fixture.tasks.join_next().await.is_some() {}
        assert_eq!(fixture.began.elapsed(), SECOND * 5);
        assert_eq!((fixture.tries_ended(), fixture.status().is_failing()), ((1, 5.0), false));
        assert_eq!(fixture.tries_until(99).await.len(), 0);
    }
}
