//! Frames to the server, in the order of urgency. A frame is made when the stream has room for it: everything that waits then
//! travels together, and a single item travels at once.

use proto::v1::{self, connect_request::Frame};
use tokio::time::Instant;

use crate::{dial::wire, grant::key::GrantKey, runtime::state::Runtime};

/// The contract's limit for the grants of one frame.
const FRAME_LEASES: usize = 1000;

/// Frames that may be due, the most urgent first: heartbeats and cancels before results, the log last.
enum Due {
    Heartbeat,
    CancelAcks,
    Accepts,
    Credit(i64),
    Reports,
    Events,
    Goodbye,
}

impl Runtime {
    /// Whether a frame is due.
    pub(crate) fn has_frame(&self, now: Instant) -> bool {
        self.due(now).is_some()
    }

    /// The most urgent frame; `None` if nothing is due any more.
    pub(crate) fn next_frame(&mut self, now: Instant) -> Option<v1::ConnectRequest> {
        let due = self.due(now)?;
        let stream = self.stream.as_mut()?;
        let frame = match due {
            Due::Heartbeat => self.heartbeat(now),
            Due::CancelAcks => {
                let leases = wire::leases(&first(&mut stream.cancel_acks));
                Frame::CancelAcks(v1::CancelAcks { leases })
            }
            Due::Accepts => {
                let leases = wire::leases(&first(&mut stream.accepts));
                Frame::Accepts(v1::Accepts { leases })
            }
            Due::Credit(total) => {
                stream.credit.sent(total);
                Frame::Credit(v1::Credit { total })
            }
            Due::Reports => {
                let next = self.reports.next(self.pace.frame_bytes());
                self.pace.sent(next.iter().map(|(_, outcome)| outcome.size()).sum(), now);
                let reports: Vec<_> = next.into_iter().map(|(key, outcome)| wire::run_report(key, outcome)).collect();
                (!reports.is_empty()).then_some(Frame::Reports(v1::Reports { reports }))?
            }
            Due::Events => {
                let (key, batch) = self.events.next(self.pace.frame_bytes())?;
                self.pace.sent(batch.size(), now);
                Frame::Events(wire::run_events(key, batch))
            }
            Due::Goodbye => {
                stream.goodbye = Some(now);
                Frame::Goodbye(v1::Goodbye { reason: "drained".into() })
            }
        };
        Some(v1::ConnectRequest { frame: Some(frame) })
    }

    fn due(&self, now: Instant) -> Option<Due> {
        // A goodbye is the last frame.
        let stream = self.stream.as_ref().filter(|stream| stream.goodbye.is_none())?;
        let is_draining = self.drain.is_some();
        let may_send = self.pace.may_send(self.has_unanswered(), now);
        if stream.heartbeats.is_due(now) {
            Some(Due::Heartbeat)
        } else if !stream.cancel_acks.is_empty() {
            Some(Due::CancelAcks)
        } else if !stream.accepts.is_empty() {
            Some(Due::Accepts)
        } else if let Some(total) = stream.credit.due(self.free_slots()).filter(|_| !is_draining) {
            Some(Due::Credit(total))
        } else if self.reports.can_send() && may_send {
            Some(Due::Reports)
        } else if self.events.can_send() && may_send {
            Some(Due::Events)
        } else if is_draining && self.is_quiet() {
            Some(Due::Goodbye)
        } else {
            None
        }
    }

    fn heartbeat(&mut self, now: Instant) -> Frame {
        let held = self.grants.held();
        let progress = self.running.iter().filter_map(|(key, running)| {
            let progress = running.progress.take_changed()?;
            Some(wire::run_progress(*key, progress))
        });
        let pause = self.capacity.pause().map(|pause| wire::worker_pause(pause, now));
        let frame = v1::WorkerHeartbeat { leases: wire::leases(&held), progress: progress.collect(), pause };
        if let Some(stream) = &mut self.stream {
            stream.heartbeats.sent(held, now);
        }
        Frame::Heartbeat(frame)
    }
}

/// Takes up to the limit of one frame.
fn first(keys: &mut Vec<GrantKey>) -> Vec<GrantKey> {
    let rest = keys.split_off(keys.len().min(FRAME_LEASES));
    std::mem::replace(keys, rest)
}
