//! Workers as text for people.

use proto::v1::{Worker, WorkerMode, WorkerState};

use super::{
    Record,
    run::lane_letter,
    table::{Cell, Tone},
    times,
};

impl Record for Worker {
    const NAME: &'static str = "Worker";
    const COLUMNS: &'static [&'static str] =
        &["ID", "NAME", "STATE", "MODE", "LANES", "KINDS", "RUNS", "HEARTBEAT", "AGE", "VERSION"];
    const SPARE: &'static [&'static str] = &["VERSION", "MODE", "AGE", "LANES", "KINDS", "HEARTBEAT", "RUNS", "NAME"];

    fn id(&self) -> &str {
        &self.id
    }

    fn row(&self) -> Vec<Cell> {
        vec![
            Cell::text(&self.id),
            Cell::text(&self.name),
            Cell::coloured(state(self), tone(self)),
            Cell::text(mode(self)),
            Cell::text(&lanes(self)),
            Cell::text(&kinds(self)),
            Cell::number(self.held_runs),
            Cell::text(&times::since(self.heartbeat_time.as_ref()).map(times::age).unwrap_or_default()),
            Cell::text(&times::since(self.create_time.as_ref()).map(times::age).unwrap_or_default()),
            Cell::text(&self.version),
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let labels: Vec<_> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            ("Worker", self.id.clone()),
            ("Name", self.name.clone()),
            ("State", state(self).to_owned()),
            ("Paused", self.pause_reason.clone()),
            ("Mode", mode(self).to_owned()),
            ("Lanes", lanes(self)),
            ("Kinds", kinds(self)),
            ("Labels", labels.join(", ")),
            ("Version", self.version.clone()),
            ("Runs held", self.held_runs.to_string()),
            ("Connected", times::absolute(self.create_time.as_ref())),
            ("Heartbeat", times::absolute(self.heartbeat_time.as_ref())),
        ]
    }
}

fn state(worker: &Worker) -> &'static str {
    match worker.state() {
        WorkerState::Active if !worker.pause_reason.is_empty() => "paused",
        WorkerState::Active => "active",
        WorkerState::Draining => "draining",
        WorkerState::Disconnected => "disconnected",
        WorkerState::Lost => "lost",
        WorkerState::Gone => "gone",
        WorkerState::Unspecified => "unknown",
    }
}

fn tone(worker: &Worker) -> Tone {
    match worker.state() {
        WorkerState::Active if !worker.pause_reason.is_empty() => Tone::Bad,
        WorkerState::Active => Tone::Good,
        WorkerState::Draining => Tone::Warning,
        WorkerState::Disconnected | WorkerState::Lost => Tone::Bad,
        WorkerState::Gone | WorkerState::Unspecified => Tone::Quiet,
    }
}

fn mode(worker: &Worker) -> &'static str {
    match worker.mode() {
        WorkerMode::Stream => "stream",
        WorkerMode::Unary => "unary",
        WorkerMode::Unspecified => "unknown",
    }
}

fn lanes(worker: &Worker) -> String {
    worker.lanes().map(lane_letter).collect()
}

fn kinds(worker: &Worker) -> String {
    if worker.kinds.is_empty() { "any".to_owned() } else { worker.kinds.join(",") }
}

#[cfg(test)]
mod tests {
    use proto::v1::Lane;

    use super::*;

    #[test]
    fn a_worker_without_kinds_takes_any() {
        let worker = Worker { lanes: vec![Lane::A.into(), Lane::C.into()], ..Worker::default() };
        assert_eq!((lanes(&worker).as_str(), kinds(&worker).as_str()), ("AC", "any"));
        assert_eq!(worker.row().len(), Worker::COLUMNS.len());
    }
}
