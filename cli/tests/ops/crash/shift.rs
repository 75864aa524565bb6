//! Runs that are executed during a fault.

use proto::v1::RunStatus;

use crate::ops::{
    client::Client,
    fixture::Fixture,
    gate::{Gate, Ledger},
};

/// Runs of two workers, all running. Half of them end early.
#[derive(Debug)]
pub struct Shift {
    pub session: String,
    early: Vec<String>,
    late: Vec<String>,
    first_gate: Gate,
    second_gate: Gate,
    begun: Ledger,
    done: Ledger,
}

impl Shift {
    pub async fn begin(fixture: &mut Fixture, count: usize) -> Self {
        let slots = (count / 2).to_string();
        for name in ["one", "two"] {
            fixture.work(&["--name", name, "--slots", &slots]);
        }
        let client = fixture.client();
        let session = client.session().await;
        let (begun, done) = (Ledger::new(fixture.folder(), "begun"), Ledger::new(fixture.folder(), "done"));
        let (first_gate, second_gate) = (Gate::new(fixture.folder(), "first"), Gate::new(fixture.folder(), "second"));
        let script = |gate: &Gate| format!("{}; {}; {}; echo done", begun.sign(), gate.pass(), done.sign());
        let early = client.enqueue_many(&session, &script(&first_gate), count / 2).await;
        let late = client.enqueue_many(&session, &script(&second_gate), count / 2).await;
        client.until_all(&session, &[&early[..], &late[..]].concat(), RunStatus::Running).await;
        begun.until(count).await;
        Self { session, early, late, first_gate, second_gate, begun, done }
    }

    /// Ends the first half of the programs.
    pub async fn end_early_ones(&mut self) {
        self.first_gate.open();
        self.done.until(self.early.len()).await;
    }

    /// The early runs are reported while the others run; then those end too. No run was lost, and none was executed
    /// twice.
    pub async fn end_all(&mut self, client: &Client) {
        client.until_all(&self.session, &self.early, RunStatus::Succeeded).await;
        client.until_all(&self.session, &self.late, RunStatus::Running).await;
        self.second_gate.open();
        let all = [&self.early[..], &self.late[..]].concat();
        let runs = client.until_all(&self.session, &all, RunStatus::Succeeded).await;
        assert!(runs.values().all(|run| run.attempt == 1), "{runs:#?}");
        for ledger in [&self.begun, &self.done] {
            let mut lines = ledger.lines();
            lines.sort();
            assert_eq!(lines, runs.keys().cloned().collect::<Vec<_>>(), "each program begins and ends once");
        }
        for run in &all {
            assert_eq!(client.log(run).await, "done\n", "the log is whole");
        }
        let counted = client.read_session(&self.session).await;
        let total = i64::try_from(all.len()).unwrap();
        assert_eq!((counted.total_runs, counted.succeeded_runs), (total, total));
    }
}
