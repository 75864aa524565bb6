//! What a dispatcher does from pass to pass: for which groups it claims, for how many slots, and when the next pass begins. Pure.
//!
//! A pass makes one claim for each group that has room. What each claim found leads to a [`Step`]; the most urgent one is the
//! dispatcher's.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::dispatch::contention::{Claim, Contention, Found, Step};
use crate::store::run::claim::ClaimGroup;

/// The slots of a group in a first claim: few, so that a single run is not claimed with a list of all idle workers.
const FIRST_CLAIM_SLOTS: usize = 64;

/// The slots of a group in the claims after a full one. More slots bring no more speed.
const FULL_CLAIM_SLOTS: usize = 500;

/// The number of groups whose contention is remembered. Beyond it all are forgotten, and each queue is looked at again.
const GROUPS: usize = 1_000;

/// What the dispatcher knows of all queues.
#[derive(Debug)]
pub struct Strategy {
    slots: usize,
    contentions: HashMap<ClaimGroup, Contention>,
}

impl Default for Strategy {
    fn default() -> Self {
        Self { slots: FIRST_CLAIM_SLOTS, contentions: HashMap::new() }
    }
}

impl Strategy {
    /// The number of slots that a group offers in the next pass, at most.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Whether a claim for this group may find runs.
    pub fn may_find(&self, group: &ClaimGroup) -> bool {
        !self.contentions.get(group).is_some_and(Contention::is_exhausted)
    }

    /// A wakeup has come: each queue may have runs again.
    pub fn woken(&mut self) {
        self.contentions.values_mut().for_each(Contention::woken);
    }

    /// How to claim for a group.
    pub fn claim(&mut self, group: &ClaimGroup, slots: usize) -> Claim {
        self.contention(group).claim(slots)
    }

    /// What follows from a claim for a group.
    pub fn after_claim(&mut self, group: &ClaimGroup, found: Found, now: Instant) -> Step {
        self.contention(group).next(found, now)
    }

    /// What follows from a pass whose claims led to these steps.
    pub fn after_pass(&mut self, steps: &[Step]) -> Step {
        if self.contentions.len() > GROUPS {
            self.contentions.clear();
        }
        let Some(step) = steps.iter().copied().max_by_key(|step| urgency(*step)) else {
            // Nobody had room, so the pass has learned nothing about the queues.
            return Step::Wait;
        };
        match step {
            Step::ClaimAgain => self.slots = FULL_CLAIM_SLOTS,
            Step::Wait | Step::Retry(_) => self.slots = FIRST_CLAIM_SLOTS,
            Step::ClaimInTurn | Step::ClaimWithoutTurn | Step::LookFurther(_) | Step::LookAgain(_) => {}
        }
        step
    }

    fn contention(&mut self, group: &ClaimGroup) -> &mut Contention {
        self.contentions.entry(group.clone()).or_default()
    }
}

/// Orders the steps of a pass. A failure ends its pass, so it comes first; then the steps without a delay; then the shortest delay.
fn urgency(step: Step) -> (u8, Reverse<Duration>) {
    match step {
        Step::Retry(delay) => (4, Reverse(delay)),
        Step::ClaimAgain => (3, Reverse(Duration::ZERO)),
        Step::ClaimInTurn | Step::ClaimWithoutTurn => (2, Reverse(Duration::ZERO)),
        Step::LookFurther(delay) | Step::LookAgain(delay) => (1, Reverse(delay)),
        Step::Wait => (0, Reverse(Duration::ZERO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Lane, TenantId};

    const LONG: Duration = Duration::from_millis(2);
    const SHORT: Duration = Duration::from_millis(1);

    fn group(kind: usize) -> ClaimGroup {
        ClaimGroup { tenant: TenantId::new("default"), lanes: [Lane::A].into(), kinds: [kind.to_string()].into() }
    }

    fn nothing_left() -> Found {
        Found::Runs { slots: 5, given: 0, claimable: 0, look_at: 5 }
    }

    #[test]
    fn the_most_urgent_step_of_a_pass_is_taken() {
        // In the order of their urgency.
        let steps = [
            Step::Wait,
            Step::LookAgain(LONG),
            Step::LookFurther(SHORT),
            Step::ClaimInTurn,
            Step::ClaimAgain,
            Step::Retry(LONG),
        ];
        for (index, most) in steps.into_iter().enumerate() {
            for less in &steps[..=index] {
                assert_eq!(Strategy::default().after_pass(&[*less, most]), most);
                assert_eq!(Strategy::default().after_pass(&[most, *less]), most);
            }
        }
        assert_eq!(Strategy::default().after_pass(&[Step::Wait, Step::ClaimWithoutTurn]), Step::ClaimWithoutTurn);
    }

    #[test]
    fn after_a_full_claim_groups_offer_more_slots_until_nothing_is_left_or_a_claim_fails() {
        for last in [Step::Wait, Step::Retry(LONG)] {
            let mut strategy = Strategy::default();
            assert_eq!(strategy.slots(), FIRST_CLAIM_SLOTS);
            strategy.after_pass(&[Step::Wait, Step::ClaimAgain]);
            assert_eq!(strategy.slots(), FULL_CLAIM_SLOTS);
            for step in [Step::ClaimInTurn, Step::ClaimWithoutTurn, Step::LookFurther(LONG), Step::LookAgain(LONG)] {
                strategy.after_pass(&[step]);
                assert_eq!(strategy.slots(), FULL_CLAIM_SLOTS, "{step:?}");
            }
            strategy.after_pass(&[last]);
            assert_eq!(strategy.slots(), FIRST_CLAIM_SLOTS);
        }
    }

    #[test]
    fn a_pass_for_which_nobody_had_room_waits_and_changes_nothing() {
        let mut strategy = Strategy::default();
        strategy.after_pass(&[Step::ClaimAgain]);
        assert_eq!(strategy.after_pass(&[]), Step::Wait);
        assert_eq!(strategy.slots(), FULL_CLAIM_SLOTS);
    }

    #[test]
    fn each_group_has_a_queue_of_its_own_and_a_wakeup_is_for_all() {
        let (mut strategy, now) = (Strategy::default(), Instant::now());
        assert_eq!(strategy.after_claim(&group(1), nothing_left(), now), Step::Wait);
        let locked = Found::Runs { slots: 5, given: 0, claimable: 1, look_at: 5 };
        assert_eq!(strategy.after_claim(&group(2), locked, now), Step::ClaimInTurn);
        assert_eq!([1, 2, 3].map(|it| strategy.may_find(&group(it))), [false, true, true]);
        assert_eq!([1, 2, 3].map(|it| strategy.claim(&group(it), 5).in_turn), [false, true, false]);
        strategy.woken();
        assert!(strategy.may_find(&group(1)));
        assert!(strategy.claim(&group(2), 5).in_turn, "a wakeup says nothing of the others");
    }

    #[test]
    fn the_number_of_remembered_groups_is_bounded() {
        let mut strategy = Strategy::default();
        for kind in 0..=GROUPS {
            assert!(strategy.contentions.len() <= GROUPS);
            strategy.after_pass(&[]);
            strategy.after_claim(&group(kind), nothing_left(), Instant::now());
        }
        strategy.after_pass(&[]);
        assert!(strategy.may_find(&group(0)) && strategy.contentions.is_empty());
    }
}
