//! A worker without a stream.

use proto::v1::worker_service_client::WorkerServiceClient;
use proto::v1::*;
use tonic::Status;
use tonic::transport::Channel;

use super::{Server, in_time};

/// A worker name that claims by unary calls. It has an id after its first claim.
pub struct Unary {
    client: WorkerServiceClient<Channel>,
    name: String,
    pub worker_id: String,
}

impl Unary {
    pub fn new(server: &Server, name: &str) -> Self {
        Self { client: server.workers(), name: name.to_owned(), worker_id: String::new() }
    }

    /// Claims with these settings; the name is added.
    pub async fn claim(&mut self, request: ClaimRequest) -> Result<Vec<Assignment>, Status> {
        let request = ClaimRequest { worker_name: self.name.clone(), ..request };
        let claimed = in_time("the answer of a Claim", self.client.claim(request)).await?.into_inner();
        self.worker_id = claimed.worker_id;
        Ok(claimed.assignments)
    }

    /// Waits for one run, which is then running.
    pub async fn take(&mut self) -> Lease {
        let wait = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let runs = self.claim(ClaimRequest { wait, ..Default::default() }).await.expect("it claims");
        let run = runs[0].run.as_ref().expect("an assignment names its run");
        Lease { run_id: run.id.clone(), fence: runs[0].fence }
    }

    pub async fn heartbeat(&mut self, leases: &[Lease]) -> HeartbeatResponse {
        let request =
            HeartbeatRequest { worker_id: self.worker_id.clone(), leases: leases.to_vec(), progress: Vec::new() };
        self.client.heartbeat(request).await.expect("the worker is known").into_inner()
    }

    pub async fn report(&mut self, lease: &Lease, outcome: Outcome) -> Result<Run, Status> {
        let report = RunReport { run_id: lease.run_id.clone(), fence: lease.fence, outcome: Some(outcome) };
        let request = ReportRunRequest { worker_id: self.worker_id.clone(), report: Some(report) };
        let reported = in_time("the answer of a ReportRun", self.client.report_run(request)).await?;
        Ok(reported.into_inner().run.expect("it is answered"))
    }
}
