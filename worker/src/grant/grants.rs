//! The table of the grants that a worker holds: which may start, which are lost; none is executed twice. Pure.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::grant::key::GrantKey;

/// How many started grants are remembered. A remembered grant that the server sends again is not executed again.
const REMEMBERED: usize = 10_000;

/// All grants of this worker. `T` is kept for a grant that waits for its start.
#[derive(Debug)]
pub(crate) struct Grants<T> {
    held: HashMap<GrantKey, Grant<T>>,
    assigned: usize,
    started: HashSet<GrantKey>,
    started_order: VecDeque<GrantKey>,
}

#[derive(Debug)]
enum Grant<T> {
    /// Accepted, but not started: its handler must not run.
    Assigned(T),
    /// Its handler runs. The lease counts from when the last acknowledged heartbeat was sent.
    Started { renewed: Instant },
    /// Its handler has ended; its report has no acknowledgement.
    Ended,
}

impl<T> Default for Grants<T> {
    fn default() -> Self {
        Self { held: HashMap::new(), assigned: 0, started: HashSet::new(), started_order: VecDeque::new() }
    }
}

impl<T> Grants<T> {
    /// Adds a grant; false if it is held, or was started before.
    pub(crate) fn assign(&mut self, key: GrantKey, waiting: T) -> bool {
        if self.held.contains_key(&key) || self.started.contains(&key) {
            return false;
        }
        self.held.insert(key, Grant::Assigned(waiting));
        self.assigned += 1;
        true
    }

    /// Starts a grant that waits for its start; `None` for any other.
    pub(crate) fn start(&mut self, key: GrantKey, now: Instant) -> Option<T> {
        match self.held.remove(&key) {
            Some(Grant::Assigned(waiting)) => {
                self.assigned -= 1;
                self.held.insert(key, Grant::Started { renewed: now });
                self.remember(key);
                Some(waiting)
            }
            Some(other) => {
                self.held.insert(key, other);
                None
            }
            None => None,
        }
    }

    /// The `T` of a grant that waits for its start.
    pub(crate) fn waiting(&mut self, key: GrantKey) -> Option<&mut T> {
        match self.held.get_mut(&key) {
            Some(Grant::Assigned(waiting)) => Some(waiting),
            _ => None,
        }
    }

    /// The handler has ended. False if the grant is lost: then there is nothing to report.
    pub(crate) fn end(&mut self, key: GrantKey) -> bool {
        match self.held.get_mut(&key) {
            Some(grant @ Grant::Started { .. }) => {
                *grant = Grant::Ended;
                true
            }
            _ => false,
        }
    }

    /// Removes a grant that is acknowledged, revoked or lost. True if it was held.
    pub(crate) fn remove(&mut self, key: GrantKey) -> bool {
        let removed = self.held.remove(&key);
        if matches!(removed, Some(Grant::Assigned(_))) {
            self.assigned -= 1;
        }
        removed.is_some()
    }

    /// The stream is lost: drops what is not started, because the server gives it back at once. Returns how many.
    pub(crate) fn drop_unstarted(&mut self) -> usize {
        self.held.retain(|_, grant| !matches!(grant, Grant::Assigned(_)));
        std::mem::take(&mut self.assigned)
    }

    /// Started grants, and ended grants without an acknowledged report. A heartbeat and a resume name them.
    pub(crate) fn held(&self) -> Vec<GrantKey> {
        let held = self.held.iter().filter(|(_, grant)| !matches!(grant, Grant::Assigned(_)));
        held.map(|(key, _)| *key).collect()
    }

    pub(crate) fn is_started(&self, key: GrantKey) -> bool {
        matches!(self.held.get(&key), Some(Grant::Started { .. }))
    }

    pub(crate) fn is_ended(&self, key: GrantKey) -> bool {
        matches!(self.held.get(&key), Some(Grant::Ended))
    }

    /// How many grants wait for their start.
    pub(crate) fn assigned_count(&self) -> usize {
        self.assigned
    }

    /// True if no grant waits for a start, a handler or an acknowledgement.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// After a resume: held grants that are not among those that the server says are standing.
    pub(crate) fn fallen(&self, standing: &[GrantKey]) -> Vec<GrantKey> {
        let standing: HashSet<_> = standing.iter().collect();
        self.held().into_iter().filter(|key| !standing.contains(key)).collect()
    }

    /// The server has acknowledged a heartbeat for these leases that was sent at `sent`.
    pub(crate) fn renew(&mut self, keys: &[GrantKey], sent: Instant) {
        for key in keys {
            if let Some(Grant::Started { renewed }) = self.held.get_mut(key) {
                *renewed = sent.max(*renewed);
            }
        }
    }

    /// No lease could end until `proven`: renews all leases that have not ended by `now`.
    pub(crate) fn renew_living(&mut self, proven: Instant, now: Instant, lease: Duration) {
        for grant in self.held.values_mut() {
            if let Grant::Started { renewed } = grant
                && now < *renewed + lease
            {
                *renewed = proven.max(*renewed);
            }
        }
    }

    /// Started grants whose lease has ended. The lease of an ended grant does not matter: its handler has finished, and the
    /// server decides about its report.
    pub(crate) fn expired(&self, now: Instant, lease: Duration) -> Vec<GrantKey> {
        let mut expired = Vec::new();
        for (key, grant) in &self.held {
            if let Grant::Started { renewed } = grant
                && now >= *renewed + lease
            {
                expired.push(*key);
            }
        }
        expired
    }

    /// When the next lease ends, unless it is renewed.
    pub(crate) fn next_expiry(&self, lease: Duration) -> Option<Instant> {
        let renewals = self.held.values().filter_map(|grant| match grant {
            Grant::Started { renewed } => Some(*renewed + lease),
            _ => None,
        });
        renewals.min()
    }

    fn remember(&mut self, key: GrantKey) {
        self.started.insert(key);
        self.started_order.push_back(key);
        if self.started_order.len() > REMEMBERED
            && let Some(oldest) = self.started_order.pop_front()
        {
            self.started.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn key(run: u128, fence: i64) -> GrantKey {
        GrantKey { run_id: Uuid::from_u128(run), fence }
    }

    #[test]
    fn a_grant_is_started_only_once_however_often_it_is_sent() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        assert!(grants.start(key(1, 1), now).is_none(), "not assigned");
        assert!(grants.assign(key(1, 1), "work"));
        assert!(!grants.assign(key(1, 1), "again"));
        assert_eq!(grants.start(key(1, 1), now), Some("work"));
        assert_eq!(grants.start(key(1, 1), now), None);
        grants.end(key(1, 1));
        grants.remove(key(1, 1));
        assert!(!grants.assign(key(1, 1), "again"), "the same fence was executed");
        assert!(grants.assign(key(1, 2), "a new grant of the run"));
    }

    #[test]
    fn a_lost_stream_drops_only_what_was_not_started() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        for run in 1..=3 {
            grants.assign(key(run, 1), ());
        }
        grants.start(key(2, 1), now);
        grants.start(key(3, 1), now);
        grants.end(key(3, 1));
        assert_eq!(grants.drop_unstarted(), 1);
        let mut held = grants.held();
        held.sort();
        assert_eq!(held, [key(2, 1), key(3, 1)]);
        assert_eq!(grants.fallen(&[key(3, 1)]), [key(2, 1)]);
        assert!(grants.assign(key(1, 1), ()), "it may be given again");
    }

    #[test]
    fn a_lease_counts_from_the_sending_of_the_acknowledged_heartbeat() {
        let (mut grants, start) = (Grants::default(), Instant::now());
        grants.assign(key(1, 1), ());
        grants.start(key(1, 1), start);
        assert_eq!(grants.next_expiry(LEASE), Some(start + LEASE));
        grants.renew(&[key(1, 1)], start + LEASE / 2);
        grants.renew(&[key(1, 1)], start + LEASE / 3);
        assert!(grants.expired(start + LEASE, LEASE).is_empty(), "an older heartbeat takes nothing back");
        assert_eq!(grants.expired(start + LEASE / 2 + LEASE, LEASE), [key(1, 1)]);
        grants.end(key(1, 1));
        assert!(grants.expired(start + LEASE * 9, LEASE).is_empty());
    }

    #[test]
    fn memory_of_started_grants_is_bounded() {
        let (mut grants, now) = (Grants::default(), Instant::now());
        for run in 0..REMEMBERED as u128 + 5 {
            grants.assign(key(run, 1), ());
            grants.start(key(run, 1), now);
            grants.remove(key(run, 1));
        }
        assert_eq!(grants.started.len(), REMEMBERED);
        assert!(!grants.assign(key(5, 1), ()));
        assert!(grants.assign(key(4, 1), ()), "forgotten");
    }
}
