//! What the worker says, in order of urgency. Each frame is made when there is room for it, so that everything that has
//! gathered until then travels together, and a single item goes at once.

use proto::v1::{self, connect_request::Frame};
use tokio::time::Instant;

use crate::{grants::GrantKey, runtime::Runtime, session::Session, wire};

/// The contract's limit for the grants in one frame.
const FRAME_LEASES: usize = 1000;

impl Runtime {
    /// Whether there is something to say now.
    pub(crate) fn has_frame(&self, now: Instant) -> bool {
        let Some(session) = self.open_session() else { return false };
        session.heartbeats.is_due(now)
            || !session.cancel_acks.is_empty()
            || !session.accepts.is_empty()
            || self.credit_due(session).is_some()
            || self.reports.can_send()
            || self.events.can_send()
            || self.is_leaving()
    }

    /// The most urgent frame: what keeps leases and cancels comes before results, and the log comes last.
    pub(crate) fn next_frame(&mut self, now: Instant) -> Option<v1::ConnectRequest> {
        let frame = self.next(now)?;
        Some(v1::ConnectRequest { frame: Some(frame) })
    }

    fn next(&mut self, now: Instant) -> Option<Frame> {
        let session = self.open_session()?;
        if session.heartbeats.is_due(now) {
            return Some(self.heartbeat(now));
        }
        let credit = self.credit_due(session);
        let session = self.session.as_mut()?;
        if !session.cancel_acks.is_empty() {
            let leases = wire::leases(&first(&mut session.cancel_acks));
            return Some(Frame::CancelAcks(v1::CancelAcks { leases }));
        }
        if !session.accepts.is_empty() {
            let leases = wire::leases(&first(&mut session.accepts));
            return Some(Frame::Accepts(v1::Accepts { leases }));
        }
        if let Some(total) = credit {
            session.credit.sent(total);
            return Some(Frame::Credit(v1::Credit { total }));
        }
        let reports = self.reports.next();
        if !reports.is_empty() {
            let reports = reports.into_iter().map(|(key, outcome)| wire::run_report(key, outcome)).collect();
            return Some(Frame::Reports(v1::Reports { reports }));
        }
        if let Some((key, batch)) = self.events.next() {
            return Some(Frame::Events(wire::run_events(key, batch)));
        }
        if self.is_leaving() {
            self.session.as_mut()?.goodbye = Some(now);
            return Some(Frame::Goodbye(v1::Goodbye { reason: "drained".into() }));
        }
        None
    }

    fn heartbeat(&mut self, now: Instant) -> Frame {
        let held = self.grants.held();
        let progress = self.running.iter().filter_map(|(key, running)| {
            let progress = running.progress.take_changed()?;
            Some(wire::run_progress(*key, progress))
        });
        let frame = v1::WorkerHeartbeat { leases: wire::leases(&held), progress: progress.collect() };
        if let Some(session) = &mut self.session {
            session.heartbeats.sent(held, now);
        }
        Frame::Heartbeat(frame)
    }

    /// The session, unless the worker has said goodbye on it.
    fn open_session(&self) -> Option<&Session> {
        self.session.as_ref().filter(|session| session.goodbye.is_none())
    }

    fn credit_due(&self, session: &Session) -> Option<i64> {
        if self.drain.is_some() { None } else { session.credit.due(self.free_slots()) }
    }

    /// Whether it is time to say goodbye.
    fn is_leaving(&self) -> bool {
        self.drain.is_some() && self.is_quiet()
    }
}

/// Takes as many as one frame may carry.
fn first(keys: &mut Vec<GrantKey>) -> Vec<GrantKey> {
    let rest = keys.split_off(keys.len().min(FRAME_LEASES));
    std::mem::replace(keys, rest)
}
