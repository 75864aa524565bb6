//! A run that a worker holds while others send wrong calls about it, and the check that it is still held after them.

use std::time::Duration;

use proto::v1::worker_service_client::WorkerServiceClient;
use proto::v1::*;
use tonic::transport::Channel;

use super::super::Scene;

/// A grant, its worker, and another worker.
pub struct Held {
    pub worker_id: String,
    pub other_id: String,
    /// The second grant of the run; the first ended with a failure.
    pub lease: Lease,
}

/// Longer than all tables take.
const LEASE: Duration = Duration::from_secs(3_600);

pub fn lease(run_id: &str, fence: i64) -> Lease {
    Lease { run_id: run_id.into(), fence }
}

pub fn report(worker_id: &str, lease: &Lease, outcome: Option<outcome::Outcome>) -> ReportRunRequest {
    let report = RunReport { run_id: lease.run_id.clone(), fence: lease.fence, outcome: Some(Outcome { outcome }) };
    ReportRunRequest { worker_id: worker_id.into(), report: Some(report) }
}

/// Enqueues a run and claims it.
pub async fn hold(scene: &Scene) -> Held {
    let run = RunSpec {
        session_id: scene.session.clone(),
        lane: Lane::D.into(),
        kind: "held".into(),
        max_attempts: Some(2),
        ..Default::default()
    };
    scene.runs().enqueue_run(EnqueueRunRequest { run: Some(run) }).await.expect("it is enqueued");
    let mut workers = scene.workers();
    let (worker_id, first) = claim(&mut workers, "holder", "held").await;
    let error = RunError { r#type: "First".into(), ..Default::default() };
    let failed = outcome::Outcome::Failed(Failed { error: Some(error), permanent: false });
    workers.report_run(report(&worker_id, &first[0], Some(failed))).await.expect("it is reported");
    let (_, second) = claim(&mut workers, "holder", "held").await;
    let (other_id, _) = claim(&mut workers, "other", "never").await;
    Held { worker_id, other_id, lease: second[0].clone() }
}

async fn claim(workers: &mut WorkerServiceClient<Channel>, name: &str, kind: &str) -> (String, Vec<Lease>) {
    let request = ClaimRequest {
        worker_name: name.into(),
        kinds: vec![kind.into()],
        wait: (kind == "held").then_some(prost_types::Duration { seconds: 60, nanos: 0 }),
        lease_timeout: Some(LEASE.try_into().expect("a short time")),
        ..Default::default()
    };
    let claimed = workers.claim(request).await.expect("it claims").into_inner();
    let lease = |it: &Assignment| lease(&it.run.as_ref().expect("an assignment has its run").id, it.fence);
    (claimed.worker_id, claimed.assignments.iter().map(lease).collect())
}

/// The calls of others changed nothing: their heartbeats extended no lease and lost none, and the worker ends its run.
pub async fn is_still_held(scene: &mut Scene, held: Held) {
    let mut workers = scene.workers();
    let wrong = [lease(&held.lease.run_id, i64::MAX), lease(&held.lease.run_id, 1)];
    for (what, worker, leases, lost) in [
        ("a heartbeat for another worker's run", &held.other_id, vec![held.lease.clone()], vec![held.lease.clone()]),
        ("a heartbeat with other fences", &held.worker_id, wrong.to_vec(), vec![wrong[1].clone(), wrong[0].clone()]),
        ("a heartbeat as it should be", &held.worker_id, vec![held.lease.clone(); 2], Vec::new()),
    ] {
        let request = HeartbeatRequest { worker_id: worker.clone(), leases, progress: Vec::new() };
        let answer = workers.heartbeat(request).await.map(|answer| answer.into_inner().lost);
        let right = answer.as_ref().is_ok_and(|it| *it == lost);
        scene.check(what, || right.then_some(()).ok_or(format!("expected {lost:?} to be lost, got {answer:?}"))).await;
    }
    let value = "9223372036854775808";
    let result = succeeded::Result::ResultJson(value.into());
    let outcome = outcome::Outcome::Succeeded(Succeeded { result: Some(result) });
    let ended = workers.report_run(report(&held.worker_id, &held.lease, Some(outcome))).await;
    let kept = ended.map(|ended| ended.into_inner().run.expect("it is answered").result_json);
    let right = kept.as_ref().is_ok_and(|it| it == value);
    scene.check("a result of 2^63", || right.then_some(()).ok_or(format!("got {kept:?}"))).await;
}
