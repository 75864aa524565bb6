//! Whether the worker knows that no server can end a lease. Pure.
//!
//! Only a server that reaches its database ends leases. While no server does, no lease can end, and a worker that stopped its
//! handlers would lose their work for nothing. But silence does not prove that: behind a cut in the network another replica may
//! be alive, and give the run to another worker. So leases count as frozen only on positive evidence:
//!
//! - an address actively refuses connections: its host answers, and nobody listens there; or
//! - a server answers `Connect` with UNAVAILABLE and the reason DATABASE_UNAVAILABLE or SHUTTING_DOWN.
//!
//! A timeout, an unreachable host, a name that is not found, or an error without such a reason is no evidence. On a live
//! stream, an answer `frozen` to a heartbeat renews leases like any other answer and needs nothing of this.
//!
//! With several addresses, the latest try of each must have given evidence. Then leases count as if the server had acknowledged
//! a heartbeat that was sent at the oldest of these tries: until then, the worker knows about all addresses. Evidence does not
//! revive a lease that has ended, because evidence came too seldom or because the process was stopped. So the worker must try
//! all addresses within a lease; [`retry_limit`] sees to it. The first `Welcome` ends the outage: from then on only
//! acknowledgements count.

use std::time::Duration;

use tokio::time::Instant;

/// For each address: when its latest try began, if that try gave evidence.
#[derive(Debug)]
pub(crate) struct Outage {
    evidence: Vec<Option<Instant>>,
}

impl Outage {
    pub(crate) fn new(addresses: usize) -> Self {
        Self { evidence: vec![None; addresses] }
    }

    /// Records a try of an address: when it began if it gave evidence, else `None`.
    pub(crate) fn tried(&mut self, address: usize, evidence: Option<Instant>) {
        if let Some(latest) = self.evidence.get_mut(address) {
            *latest = evidence;
        }
    }

    /// A server has sent `Welcome`.
    pub(crate) fn over(&mut self) {
        self.evidence.fill(None);
    }

    /// Until when no lease could end, as far as the worker knows; `None` if an address may have a living server.
    pub(crate) fn proven_at(&self) -> Option<Instant> {
        self.evidence.iter().copied().min().flatten()
    }
}

/// The longest delay before a try. With it, the tries of all addresses take less than a third of a lease.
pub(crate) fn retry_limit(lease: Duration, addresses: usize) -> Duration {
    lease / 3 / u32::try_from(addresses).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::grant::{grants::Grants, key::GrantKey};

    const LEASE: Duration = Duration::from_secs(30);
    const KEY: GrantKey = GrantKey { run_id: Uuid::from_u128(1), fence: 1 };

    fn started(now: Instant) -> Grants<()> {
        let mut grants = Grants::default();
        grants.assign(KEY, ());
        grants.start(KEY, now);
        grants
    }

    fn at(seconds: u64, start: Instant) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn every_address_must_give_evidence_and_the_oldest_counts() {
        let (mut outage, start) = (Outage::new(2), Instant::now());
        assert_eq!(outage.proven_at(), None);
        outage.tried(0, Some(at(1, start)));
        assert_eq!(outage.proven_at(), None, "the other may be alive");
        outage.tried(1, Some(at(2, start)));
        assert_eq!(outage.proven_at(), Some(at(1, start)));
        outage.tried(0, Some(at(3, start)));
        assert_eq!(outage.proven_at(), Some(at(2, start)));
        outage.tried(1, None);
        assert_eq!(outage.proven_at(), None, "the other is silent now");
        outage.tried(1, Some(at(5, start)));
        assert_eq!(outage.proven_at(), Some(at(3, start)));
        outage.over();
        assert_eq!(outage.proven_at(), None);
    }

    #[test]
    fn an_outage_of_any_length_ends_no_lease_while_evidence_comes_often_enough() {
        let (mut outage, start) = (Outage::new(2), Instant::now());
        let mut grants = started(start);
        for step in 1..1_000 {
            let now = at(step * 5, start);
            outage.tried(usize::from(step % 2 == 0), Some(now));
            if let Some(proven) = outage.proven_at() {
                grants.renew_living(proven, now, LEASE);
            }
            assert!(grants.expired(now, LEASE).is_empty(), "after {step} tries");
        }
    }

    #[test]
    fn evidence_does_not_revive_a_lease_that_lapsed_while_the_process_was_stopped() {
        let (mut outage, start) = (Outage::new(1), Instant::now());
        let mut grants = started(start);
        let now = at(31, start);
        outage.tried(0, Some(now));
        grants.renew_living(outage.proven_at().unwrap(), now, LEASE);
        assert_eq!(grants.expired(now, LEASE), [KEY]);
    }

    #[test]
    fn all_addresses_are_tried_well_within_a_lease() {
        assert_eq!(retry_limit(LEASE, 1), Duration::from_secs(10));
        assert_eq!(retry_limit(LEASE, 5), Duration::from_secs(2));
    }

    /// An event in the life of a worker.
    #[derive(Clone, Debug)]
    enum Event {
        Acknowledged,
        Evidence { address: usize, took: u64 },
        Silence { address: usize },
        Nothing,
    }

    fn event() -> impl Strategy<Value = (u64, Event)> {
        let event = prop_oneof![
            Just(Event::Acknowledged),
            (0..3usize, 0..4u64).prop_map(|(address, took)| Event::Evidence { address, took }),
            (0..3usize).prop_map(|address| Event::Silence { address }),
            Just(Event::Nothing),
        ];
        (0..12u64, event)
    }

    proptest! {
        /// The whole rule: a lease lives while its last acknowledgement, or the last time for which the latest tries of all
        /// addresses gave evidence, is less than a lease ago. A lease that has ended never lives again.
        #[test]
        fn a_lease_lives_exactly_as_long_as_it_is_acknowledged_or_proven_frozen(
            addresses in 1..4usize,
            events in prop::collection::vec(event(), 0..60),
        ) {
            let start = Instant::now();
            let (mut outage, mut grants) = (Outage::new(addresses), started(start));
            let (mut clock, mut model_renewed, mut model_lives) = (0, 0, true);
            let mut latest: Vec<Option<u64>> = vec![None; addresses];
            for (pause, event) in events {
                clock += pause;
                let now = at(clock, start);
                model_lives &= clock < model_renewed + LEASE.as_secs();
                match event {
                    Event::Acknowledged => {
                        outage.over();
                        grants.renew_living(now, now, LEASE);
                        latest.fill(None);
                        model_renewed = clock;
                    }
                    Event::Evidence { address, took } if address < addresses => {
                        let asked = clock.saturating_sub(took);
                        outage.tried(address, Some(at(asked, start)));
                        latest[address] = Some(asked);
                        if let Some(proven) = latest.iter().copied().collect::<Option<Vec<_>>>() {
                            model_renewed = model_renewed.max(proven.into_iter().min().unwrap());
                        }
                    }
                    Event::Silence { address } if address < addresses => {
                        outage.tried(address, None);
                        latest[address] = None;
                    }
                    _ => {}
                }
                if let Some(proven) = outage.proven_at() {
                    grants.renew_living(proven, now, LEASE);
                }
                prop_assert_eq!(grants.expired(now, LEASE).is_empty(), model_lives);
                if !model_lives {
                    return Ok(());
                }
            }
        }
    }
}
