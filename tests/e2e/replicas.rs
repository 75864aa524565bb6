//! Workers that know several servers, one of which has a fault.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::v1::*;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{Fixture, Flow, Handle, LiveWorker, Relay, in_time};

const LEASE: Duration = Duration::from_secs(5);

/// Runs that wait until the test releases them, and how often each was started.
struct Held {
    handle: Handle,
    begun: Arc<Mutex<BTreeMap<String, usize>>>,
    gate: Arc<Semaphore>,
}

impl Held {
    fn new() -> Self {
        let (begun, gate) = (Arc::<Mutex<BTreeMap<String, usize>>>::default(), Arc::new(Semaphore::new(0)));
        let (count, pass) = (begun.clone(), gate.clone());
        let handle = Handle::new(move |context| {
            *count.lock().expect("not poisoned").entry(context.run_id().to_owned()).or_default() += 1;
            let pass = pass.clone();
            async move {
                pass.acquire().await.expect("it stays").forget();
                Ok(json!("done"))
            }
        });
        Self { handle, begun, gate }
    }

    /// Releases one run, and waits until it has succeeded in its first attempt.
    async fn succeeds(&self, fixture: &Fixture, run: &Run) {
        self.gate.add_permits(1);
        let ended = fixture.ended(&run.id).await;
        assert_eq!((ended.status(), ended.attempt), (RunStatus::Succeeded, 1), "{ended:?}");
    }

    fn assert_each_began_once(&self, runs: &[&Run]) {
        let expected = runs.iter().map(|run| (run.id.clone(), 1)).collect::<BTreeMap<_, _>>();
        assert_eq!(*self.begun.lock().expect("not poisoned"), expected);
    }
}

fn configured(config: &mut server::Config) {
    config.engine.lease_timeout = LEASE;
    config.database.deadline = Duration::from_secs(1);
}

/// The network delivers what the worker sends, but no answer, as after a lost route.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_answer_is_lost_counts_once_and_its_worker_continues_elsewhere() {
    let fixture = Fixture::with(2, configured).await;
    let (bad, good) = (
        Relay::before(&fixture.address(), Flow::All).await,
        Relay::before(fixture.servers[1].url.trim_start_matches("http://"), Flow::Nothing).await,
    );
    let held = Held::new();
    let servers = vec![bad.address.clone(), good.address.clone()];
    let worker = LiveWorker::start_at(servers, 1, "held", &held.handle);
    let session = fixture.session().await;
    let run = fixture.enqueue(&session, "held").await;
    fixture.running(&run.id).await;

    bad.set(Flow::Questions);
    held.succeeds(&fixture, &run).await;
    let ended = fixture.get(&run.id).await;
    good.set(Flow::All);
    let next = fixture.enqueue(&session, "held").await;
    in_time("the next run", held.succeeds(&fixture, &next)).await;
    assert_eq!(fixture.get(&run.id).await, ended, "the accepted outcome has not changed");
    held.assert_each_began_once(&[&run, &next]);
    let summary = worker.stop().await;
    assert_eq!((summary.started, summary.refused, summary.unreported, summary.connects), (2, 0, 0, 2));
}
