//! Handles frames from the server.

use std::{sync::Arc, time::Duration};

use proto::v1::{self, connect_response::Frame};
use tokio::time::Instant;
use tracing::Instrument;

use crate::{
    api::{
        context::{ContextFields, RunContext},
        failure::Failure,
        status::DrainedBy,
        stop::{Stop, StopCause, StopReason},
    },
    dial::wire,
    grant::{key::GrantKey, outcome::Outcome, progress::ProgressCell},
    runtime::{
        attempt::{STOP_GRACE, attempt},
        state::{Running, Runtime, Waiting},
    },
    telemetry::spans,
};

/// The contract's default for a cancel without a grace.
const DEFAULT_CANCEL_GRACE: Duration = STOP_GRACE;

impl Runtime {
    /// Handles a frame.
    pub(crate) fn on_frame(&mut self, response: v1::ConnectResponse, now: Instant) {
        match response.frame {
            Some(Frame::Welcome(_)) => self.break_stream("a second Welcome"),
            Some(Frame::Assignments(frame)) => frame.assignments.into_iter().for_each(|one| self.on_assignment(one)),
            Some(Frame::Starts(frame)) => frame.starts.into_iter().for_each(|start| self.on_start(&start, now)),
            Some(Frame::Revokes(frame)) => frame.revokes.into_iter().for_each(|revoke| self.on_revoke(&revoke)),
            Some(Frame::HeartbeatAck(ack)) => self.on_heartbeat_ack(&ack, now),
            Some(Frame::EventsAck(ack)) => {
                self.on_events_ack(&ack);
                self.on_answer();
            }
            Some(Frame::ReportAcks(frame)) => {
                frame.results.into_iter().for_each(|result| self.on_report_ack(&result));
                self.on_answer();
            }
            Some(Frame::Cancels(frame)) => frame.cancels.into_iter().for_each(|cancel| self.on_cancel(cancel)),
            Some(Frame::Drain(drain)) => self.on_drain(&drain),
            // A frame of a newer server, which this worker does not know.
            None => {}
        }
    }

    fn on_assignment(&mut self, assignment: v1::Assignment) {
        let Some(stream) = &mut self.stream else { return };
        stream.credit.given();
        let Some(run) = assignment.run else { return };
        let Some(key) = wire::grant_key(&run.id, assignment.fence) else { return };
        let Some(handler) = self.setup.handlers.get(&run.kind) else {
            tracing::error!(grant = %key, kind = run.kind, "assigned a kind without a handler; not accepted");
            return;
        };
        // The server puts a run that the worker does not accept back into the queue.
        if self.drain.is_some() {
            return;
        }
        let handler = Arc::clone(handler);
        let (info, invalid) = wire::run_info(run, wire::duration(assignment.timeout), assignment.traceparent);
        let waiting = Waiting { info, handler, invalid, cancelled: None };
        if self.grants.assign(key, waiting) {
            stream.accepts.push(key);
        } else {
            tracing::warn!(grant = %key, "assigned a grant a second time; ignored");
        }
    }

    fn on_start(&mut self, start: &v1::Start, now: Instant) {
        let Some(key) = wire::grant_key(&start.run_id, start.fence) else { return };
        let Some(mut waiting) = self.grants.start(key, now) else {
            tracing::warn!(grant = %key, "start of a grant that does not wait for it; ignored");
            return;
        };
        self.lease_check.get_or_insert(now + self.lease_timeout);
        self.summary.started += 1;
        waiting.info.attempt = start.attempt;
        tracing::debug!(grant = %key, kind = waiting.info.kind, attempt = start.attempt, "run started");
        let (stop, progress) = (Arc::<Stop>::default(), Arc::<ProgressCell>::default());
        let span = spans::of_attempt(&waiting.info, key);
        // What the handler calls belongs under the span of the attempt.
        waiting.info.traceparent = spans::traceparent(&span).or(waiting.info.traceparent);
        let ctx = RunContext::new(ContextFields {
            info: std::mem::take(&mut waiting.info),
            key,
            stop: Arc::clone(&stop),
            events: self.events.open(key),
            progress: Arc::clone(&progress),
            links: self.links.subscribe(),
        });
        let Waiting { handler, invalid, cancelled, .. } = waiting;
        let is_cancelled = cancelled.is_some();
        // The server may still send runs for the credit that it has. They go back without a try.
        let lacking = self.capacity.pause().map(|pause| pause.reason.clone());
        if let Some(reason) = cancelled {
            stop.request(reason);
        }
        let task = self.tasks.spawn(async move {
            let outcome = match invalid {
                _ if is_cancelled => Outcome::of(None, ctx.stop_reason()),
                Some(reason) => Outcome::failed(Failure { permanent: true, ..Failure::new("InvalidParams", reason) }),
                None => match lacking {
                    Some(reason) => Outcome::GivenBack { reason, delay: Duration::ZERO },
                    None => attempt(handler, ctx).instrument(span.clone()).await,
                },
            };
            spans::ended(&span, &outcome);
            outcome
        });
        self.task_keys.insert(task.id(), key);
        self.running.insert(key, Running { task, stop, progress, attempt: start.attempt });
    }

    fn on_revoke(&mut self, revoke: &v1::Revoke) {
        let Some(key) = wire::grant_key(&revoke.run_id, revoke.fence) else { return };
        if let Some(stream) = &mut self.stream {
            stream.accepts.retain(|accept| *accept != key);
        }
        if self.grants.is_started(key) || self.grants.is_ended(key) {
            self.kill(key, &revoke.reason);
        } else {
            // The run did not start, so nothing is lost.
            self.grants.remove(key);
        }
    }

    fn on_heartbeat_ack(&mut self, ack: &v1::HeartbeatAck, now: Instant) {
        let Some(stream) = &mut self.stream else { return };
        // `frozen` means that no lease can end. It renews leases like any other answer, as long as the stream lives.
        if let Some(sent) = stream.heartbeats.answered(now) {
            self.grants.renew(&sent.leases, sent.at);
        }
        // While the server can not write, it can flush no log and take no outcome: the time of the outcomes that wait stands
        // still.
        if ack.frozen {
            self.reports.pause();
        } else {
            self.reports.go_on(now);
        }
        for key in wire::grant_keys(&ack.lost) {
            // A heartbeat may cross the report of its grant: then the answer to the report decides.
            if self.grants.is_started(key) {
                self.kill(key, "the server says that the lease is lost");
            }
        }
    }

    fn on_events_ack(&mut self, ack: &v1::EventsAck) {
        let Some(key) = wire::grant_key(&ack.run_id, ack.fence) else { return };
        let credits = ack.credits as usize;
        if ack.reason.is_empty() {
            self.events.acknowledge(key, ack.through_seq, credits);
        } else {
            tracing::warn!(grant = %key, reason = ack.reason, message = ack.message, entries = credits, "log refused");
            self.events.refuse(key, ack.through_seq, credits);
            if ack.reason == "LEASE_LOST" {
                if self.grants.is_started(key) {
                    self.kill(key, "LEASE_LOST, to its log");
                }
                self.events.remove(key);
            }
        }
        if self.reports.is_flushing(key) && self.events.is_flushed(key) {
            self.reports.release(key);
        }
    }

    /// Reports or entries of logs were answered.
    fn on_answer(&mut self) {
        if !self.has_unanswered() {
            self.pace.all_answered();
        }
    }

    pub(super) fn on_report_ack(&mut self, result: &v1::RunReportResult) {
        let Some(key) = wire::grant_key(&result.run_id, result.fence) else { return };
        if !self.grants.is_ended(key) {
            return;
        }
        if !result.accepted {
            tracing::warn!(grant = %key, reason = result.reason, message = result.message, "report refused");
            if result.reason == "INVALID_FIELD" && self.reports.substitute(key, &result.message) {
                return;
            }
            self.summary.refused += 1;
        }
        let outcome = self.reports.remove(key);
        if result.accepted {
            match outcome {
                Some(Outcome::Succeeded(_)) => self.summary.succeeded += 1,
                Some(Outcome::Failed(_)) => self.summary.failed += 1,
                Some(Outcome::Cancelled(_)) => self.summary.cancelled += 1,
                Some(Outcome::Snoozed(_)) => self.summary.snoozed += 1,
                Some(Outcome::GivenBack { .. }) => self.summary.given_back += 1,
                None => {}
            }
        }
        self.events.remove(key);
        self.grants.remove(key);
    }

    fn on_cancel(&mut self, cancel: v1::RunCancel) {
        let Some(key) = wire::grant_key(&cancel.run_id, cancel.fence) else { return };
        let Some(stream) = &mut self.stream else { return };
        let grace = wire::duration(cancel.grace).unwrap_or(DEFAULT_CANCEL_GRACE);
        let reason = StopReason { cause: StopCause::Cancel, reason: cancel.reason, grace };
        if let Some(running) = self.running.get(&key) {
            running.stop.request(reason);
        } else if let Some(waiting) = self.grants.waiting(key) {
            waiting.cancelled = Some(reason);
        } else if !self.grants.is_ended(key) {
            return;
        }
        push_once(&mut stream.cancel_acks, key);
    }

    fn on_drain(&mut self, drain: &v1::Drain) {
        match v1::DrainReason::try_from(drain.reason) {
            Ok(v1::DrainReason::ServerShutdown) => {
                tracing::info!("the server shuts down; the worker takes another one when the stream ends");
                if let Some(stream) = &mut self.stream {
                    stream.is_end_expected = true;
                }
            }
            Ok(v1::DrainReason::Operator) => self.begin_drain(DrainedBy::Operator),
            Ok(v1::DrainReason::Unspecified) | Err(_) => {
                tracing::warn!(reason = drain.reason, "drain without a reason")
            }
        }
    }
}

fn push_once(keys: &mut Vec<GrantKey>, key: GrantKey) {
    if !keys.contains(&key) {
        keys.push(key);
    }
}
