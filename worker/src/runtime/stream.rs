//! How a stream begins, and what its loss does.

use std::time::Duration;

use proto::v1;
use tokio::time::Instant;

use crate::{
    dial::{
        connection::{Dialed, Undialed, Wire},
        wire,
    },
    grant::{credit::Credit, heartbeats::Heartbeats},
    runtime::{
        state::Runtime,
        stream_state::{DEFAULT_LEASE_TIMEOUT, Identity, StreamState},
    },
};

/// The interval that the worker assumes if a server names none.
const DEFAULT_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

impl Runtime {
    pub(crate) fn hello(&mut self) -> v1::Hello {
        self.hellos += 1;
        let config = &self.setup.config;
        v1::Hello {
            protocol_version: 1,
            name: config.name.clone(),
            lanes: config.lanes.iter().map(|lane| wire::lane(*lane)).collect(),
            kinds: self.setup.kinds.clone(),
            labels: config.labels.clone(),
            version: config.version.clone(),
            resume: self.identity.as_ref().map(|identity| v1::Resume {
                worker_id: identity.worker_id.clone(),
                secret: identity.secret.clone(),
                held: wire::leases(&self.grants.held()),
                sequence: self.hellos,
            }),
        }
    }

    /// A try to connect failed. If it proves that no lease can end, living leases are renewed.
    pub(crate) fn on_undialed(&mut self, undialed: &Undialed, now: Instant) {
        self.outage.tried(undialed.address, undialed.evidence);
        if let Some(proven) = self.outage.proven_at() {
            self.grants.renew_living(proven, now, self.lease_timeout);
        }
    }

    pub(crate) fn welcome(&mut self, dialed: Dialed) -> Wire {
        let Dialed { welcome, hello_sent, link, wire } = dialed;
        let now = Instant::now();
        self.outage.over();
        let is_same = self.identity.as_ref().is_some_and(|identity| identity.worker_id == welcome.worker_id);
        let standing = if is_same { wire::grant_keys(&welcome.standing) } else { Vec::new() };
        // The answers of reports that were lost with the last stream.
        welcome.settled.iter().filter(|settled| is_same && settled.accepted).for_each(|it| self.on_report_ack(it));
        for key in self.grants.fallen(&standing) {
            self.kill(key, "the grant is not standing after the resume");
        }
        self.lease_timeout = wire::duration(welcome.lease_timeout).unwrap_or(DEFAULT_LEASE_TIMEOUT);
        self.grants.renew(&standing, hello_sent);
        self.lease_check = self.grants.next_expiry(self.lease_timeout);
        let interval = wire::duration(welcome.heartbeat_interval).filter(|interval| !interval.is_zero());
        self.stream = Some(StreamState {
            heartbeats: Heartbeats::new(interval.unwrap_or(DEFAULT_HEARTBEAT_INTERVAL), now),
            credit: Credit::default(),
            accepts: Vec::new(),
            cancel_acks: Vec::new(),
            is_end_expected: false,
            goodbye: None,
            broken: None,
            is_cut: false,
        });
        self.events.resume(welcome.event_credits as usize);
        self.reports.resume(now);
        self.pace.resume();
        self.running.values().for_each(|running| running.progress.mark_changed());
        self.summary.connects += 1;
        tracing::info!(
            worker_id = welcome.worker_id,
            stream_epoch = welcome.stream_epoch,
            standing = standing.len(),
            "connected"
        );
        self.links.send_replace(Some(link));
        self.identity = Some(Identity { worker_id: welcome.worker_id, secret: welcome.secret });
        wire
    }

    /// Whether reports or entries of logs that were sent on this stream are not answered.
    pub(crate) fn has_unanswered(&self) -> bool {
        self.reports.has_unanswered() || self.events.has_unanswered()
    }

    pub(crate) fn break_stream(&mut self, reason: &'static str) {
        if let Some(stream) = &mut self.stream {
            stream.broken.get_or_insert(reason);
        }
    }

    /// The stream has ended, and no server said why: a proxy may refuse what was on its way.
    pub(crate) fn cut_stream(&mut self, reason: &'static str) {
        if let Some(stream) = &mut self.stream {
            stream.is_cut |= stream.broken.is_none();
        }
        self.break_stream(reason);
    }

    /// Drops grants that are not started; started runs continue. True if the worker can try the next server at once.
    pub(crate) fn stream_lost(&mut self, reason: &'static str) -> bool {
        let Some(stream) = self.stream.take() else { return false };
        let dropped = self.grants.drop_unstarted();
        if stream.is_cut && self.has_unanswered() {
            if self.pace.is_careful()
                && !self.events.has_unanswered()
                && let Some(key) = self.reports.cut()
            {
                tracing::error!(grant = %key, "streams are cut while its report is sent: it is reported as failed");
            }
            self.pace.cut();
        }
        self.events.pause();
        self.reports.pause();
        if stream.goodbye.is_none() {
            tracing::info!(reason, running = self.running.len(), dropped, "stream lost");
        }
        stream.is_end_expected
    }
}
