//! The loop of a worker. One task owns all state. It reacts to frames from the stream, to the end of handlers and to the clock.
//! When the stream has room, it makes the most urgent frame from the current state.

use std::time::Duration;

use proto::v1;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::{
    api::{
        error::WorkerError,
        status::{WorkerStatus, WorkerSummary},
    },
    dial::{
        connection::{Dialed, Dialer, Undialed, is_final},
        evidence,
    },
    runtime::{drain::GOODBYE_TIMEOUT, state::Runtime},
};

/// The longest sleep of the loop.
const IDLE: Duration = Duration::from_secs(3600);

impl Runtime {
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<WorkerSummary, WorkerError> {
        let mut dialer = Dialer::new(&self.setup.config, std::mem::take(&mut self.setup.endpoints))?;
        let mut dials: JoinSet<Result<Dialed, Undialed>> = JoinSet::new();
        // Both directions of the stream. A goodbye closes the way out first.
        let (mut tx, mut rx) = (None, None);
        let events_ready = self.events.ready();
        // The first try has no delay, nor the try after a server has announced its shutdown.
        let mut dial_at_once = true;
        loop {
            let now = Instant::now();
            self.tick(now);
            if let Some(reason) = self.stream.as_ref().and_then(|stream| stream.broken) {
                dial_at_once = self.stream_lost(reason);
                (tx, rx) = (None, None);
            }
            if self.is_finished(now) {
                break;
            }
            if rx.is_none() && dials.is_empty() {
                dials.spawn(dialer.dial(self.hello(), std::mem::take(&mut dial_at_once), self.lease_timeout));
            }
            self.publish_status();
            let has_frame = self.has_frame(now);
            tokio::select! {
                () = time::sleep_until(self.wake_at(now)) => {}
                () = shutdown.cancelled(), if !self.is_shutting_down() => self.shut_down(),
                dialed = dials.join_next(), if !dials.is_empty() => match dialed {
                    Some(Ok(Ok(dialed))) => {
                        let wire = self.welcome(dialed);
                        (tx, rx) = (Some(wire.tx), Some(wire.rx));
                    }
                    Some(Ok(Err(Undialed { status, .. }))) if self.identity.is_none() && is_final(status.code()) => {
                        return Err(WorkerError::Refused {
                            code: format!("{:?}", status.code()),
                            message: status.message().into(),
                        });
                    }
                    Some(Ok(Err(undialed))) => self.on_undialed(&undialed, Instant::now()),
                    _ => {}
                },
                frame = receive(rx.as_mut()) => match frame {
                    Ok(Some(response)) => {
                        if matches!(response.frame, Some(v1::connect_response::Frame::HeartbeatAck(_))) {
                            dialer.succeeded();
                        }
                        self.on_frame(response, Instant::now());
                    }
                    Ok(None) => self.cut_stream("ended by the server"),
                    Err(status) => {
                        tracing::warn!(code = ?status.code(), error = status.message(), "stream failed");
                        if evidence::is_of_server(&status) {
                            self.break_stream("failed");
                        } else {
                            self.cut_stream("failed");
                        }
                    }
                },
                room = room(tx.clone()), if has_frame => match room {
                    Some(room) => if let Some(frame) = self.next_frame(Instant::now()) {
                        room.send(frame);
                        if self.stream.as_ref().is_some_and(|stream| stream.goodbye.is_some()) {
                            // A goodbye ends with a half-close.
                            tx = None;
                        }
                    },
                    None => self.cut_stream("closed by the transport"),
                },
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.on_task_end(ended),
                () = events_ready.signalled(), if !has_frame => {}
            }
        }
        self.leave();
        Ok(self.summary)
    }

    /// Does what is due by the clock. Each turn of the loop begins with it: if the process was stopped for a while, leases are
    /// checked before anything else happens.
    fn tick(&mut self, now: Instant) {
        if self.lease_check.is_some_and(|at| now >= at) {
            for key in self.grants.expired(now, self.lease_timeout) {
                self.lapse(key);
            }
            self.lease_check = self.grants.next_expiry(self.lease_timeout);
        }
        let drops_logs = self.drops_logs(now);
        for key in self.reports.overdue(now, drops_logs) {
            tracing::warn!(grant = %key, "the log is not flushed in time and is dropped; the outcome is reported");
            self.events.remove(key);
            self.reports.release(key);
        }
        if let Some(stream) = &mut self.stream
            && stream.heartbeats.is_dead(now)
        {
            stream.broken.get_or_insert("no heartbeat is acknowledged");
        }
        if self.capacity.tick(self.held_slots(), now) {
            tracing::info!("the worker takes runs again");
            if let Some(stream) = &mut self.stream {
                stream.heartbeats.hurry(now);
            }
        }
        self.stop_overdue(now);
    }

    /// When the next thing is due by the clock.
    fn wake_at(&self, now: Instant) -> Instant {
        let stream = self.stream.as_ref().map(|stream| match stream.goodbye {
            Some(said) => said + GOODBYE_TIMEOUT,
            None => stream.heartbeats.wake_at(now),
        });
        let drain = self.drain.as_ref().and_then(|drain| drain.wake_at(now));
        // A frame that may be sent by now waits for room in the stream, and not for the clock.
        let pace = self.pace.waits_until(self.has_unanswered()).filter(|until| now < *until);
        let wakes = [stream, drain, self.lease_check, self.reports.next_deadline(), self.capacity.wake_at(), pace];
        wakes.into_iter().flatten().min().unwrap_or(now + IDLE)
    }

    fn publish_status(&self) {
        let worker_id = self.identity.as_ref().map(|identity| identity.worker_id.as_str());
        let (is_connected, is_draining) = (self.stream.is_some(), self.drain.is_some());
        let running = self.running.len();
        let paused = self.capacity.pause().map(|pause| pause.reason.as_str());
        self.publish_metrics();
        self.setup.status.send_if_modified(|status| {
            let is_same = status.worker_id.as_deref() == worker_id
                && (status.is_connected, status.is_draining, status.running) == (is_connected, is_draining, running)
                && status.paused.as_deref() == paused;
            if !is_same {
                let (worker_id, paused) = (worker_id.map(Into::into), paused.map(Into::into));
                *status = WorkerStatus { worker_id, is_connected, is_draining, running, paused };
            }
            !is_same
        });
    }

    fn publish_metrics(&self) {
        let metrics = &self.setup.metrics;
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.running.set(signed(self.running.len()));
        metrics.connected.set(self.stream.is_some().into());
        metrics.draining.set(self.drain.is_some().into());
        metrics.paused.set(self.capacity.pause().is_some().into());
        metrics.reports_waiting.set(signed(self.reports.len()));
        metrics.events_waiting.set(signed(self.events.waiting()));
        metrics.count(&self.summary, self.events.dropped());
    }

    fn leave(&mut self) {
        self.summary.worker_id = self.identity.as_ref().map(|identity| identity.worker_id.clone());
        self.summary.unreported = (self.reports.len() + self.running.len()) as u64;
        self.setup.status.send_modify(|status| status.is_connected = false);
        tracing::info!(summary = ?self.summary, "left");
    }
}

async fn receive(rx: Option<&mut Streaming<v1::ConnectResponse>>) -> Result<Option<v1::ConnectResponse>, Status> {
    match rx {
        Some(rx) => rx.message().await,
        None => std::future::pending().await,
    }
}

/// Waits for room for one frame; `None` if the stream has ended.
async fn room(tx: Option<mpsc::Sender<v1::ConnectRequest>>) -> Option<mpsc::OwnedPermit<v1::ConnectRequest>> {
    match tx {
        Some(tx) => tx.reserve_owned().await.ok(),
        None => std::future::pending().await,
    }
}
