//! How far a tail of a run's log has come. Calls that append events in parallel may be stored in any order, so the tail remembers the
//! numbers that it has passed and that were not stored then.

use crate::domain::event::{EventPosition, RunEvent};

/// The most gaps that a tail remembers. Each is a call that is stored after a later one, or a number that the worker left
/// out. The tail forgets the oldest: what is stored there later is only in the list of events.
const GAPS_MAX: usize = 64;

/// Numbers of a grant's events that were not stored when a later event was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub fence: i64,
    pub first: i64,
    pub last: i64,
}

/// A stored event that a tail has come to.
#[derive(Debug, Clone, PartialEq)]
pub struct TailStep {
    pub position: EventPosition,
    /// The number of the event before it in the same grant, 0 if it is the first.
    pub before: i64,
    /// `None` if its level is below what the tail delivers.
    pub event: Option<RunEvent>,
}

/// What a tail has delivered: all events up to the last, except those in the gaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TailPosition {
    last: EventPosition,
    /// Ascending.
    gaps: Vec<Gap>,
}

impl TailPosition {
    pub fn last(&self) -> EventPosition {
        self.last
    }

    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// The tail has come to an event: behind the last one, or in a gap.
    pub fn step(&mut self, position: EventPosition, before: i64) {
        let EventPosition { fence, seq } = position;
        if position > self.last {
            let gap = Gap { fence, first: before.saturating_add(1), last: seq.saturating_sub(1) };
            self.gaps.extend((gap.first <= gap.last).then_some(gap));
            self.last = position;
        } else if let Some(at) =
            self.gaps.iter().position(|gap| gap.fence == fence && (gap.first..=gap.last).contains(&seq))
        {
            let gap = self.gaps[at];
            let rest = [Gap { last: seq.saturating_sub(1), ..gap }, Gap { first: seq.saturating_add(1), ..gap }];
            self.gaps.splice(at..=at, rest.into_iter().filter(|gap| gap.first <= gap.last));
        }
        let forgotten = self.gaps.len().saturating_sub(GAPS_MAX);
        self.gaps.drain(..forgotten);
    }
}

/// The text from which `parse` makes the position again.
impl std::fmt::Display for TailPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.last.fence, self.last.seq)?;
        self.gaps.iter().try_for_each(|Gap { fence, first, last }| write!(f, " {fence} {first} {last}"))
    }
}

impl TailPosition {
    /// Reads a position.
    pub fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<i64> = text.split(' ').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let (last, gaps) = numbers.split_at_checked(2)?;
        if gaps.len() % 3 != 0 || gaps.len() / 3 > GAPS_MAX {
            return None;
        }
        let gaps = gaps.chunks(3).map(|gap| Gap { fence: gap[0], first: gap[1], last: gap[2] }).collect();
        Some(Self { last: EventPosition { fence: last[0], seq: last[1] }, gaps })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A position after these events of one grant were stored and read, one after the other.
    fn after(seqs: &[i64]) -> TailPosition {
        let (mut position, mut stored) = (TailPosition::default(), BTreeSet::new());
        for seq in seqs {
            let before = stored.range(..seq).next_back().copied().unwrap_or_default();
            position.step(EventPosition { fence: 1, seq: *seq }, before);
            stored.insert(*seq);
        }
        position
    }

    fn gaps(position: &TailPosition) -> Vec<(i64, i64)> {
        position.gaps().iter().map(|gap| (gap.first, gap.last)).collect()
    }

    #[test]
    fn a_gap_is_what_was_passed_and_is_filled_from_any_side() {
        assert_eq!(gaps(&after(&[1, 2, 3])), []);
        assert_eq!(gaps(&after(&[1, 6])), [(2, 5)]);
        assert_eq!(gaps(&after(&[1, 6, 4])), [(2, 3), (5, 5)]);
        assert_eq!(gaps(&after(&[1, 6, 4, 5, 9])), [(2, 3), (7, 8)]);
        assert_eq!(gaps(&after(&[3, 1, 2])), []);
        assert_eq!(after(&[3, 1]).last(), EventPosition { fence: 1, seq: 3 });
    }

    #[test]
    fn the_next_grant_has_numbers_of_its_own() {
        let mut position = after(&[1, 5]);
        position.step(EventPosition { fence: 2, seq: 2 }, 0);
        let second = Gap { fence: 2, first: 1, last: 1 };
        assert_eq!(position.gaps(), [Gap { fence: 1, first: 2, last: 4 }, second]);
        position.step(EventPosition { fence: 1, seq: 4 }, 1);
        position.step(EventPosition { fence: 1, seq: 1 }, 0);
        assert_eq!(position.gaps(), [Gap { fence: 1, first: 2, last: 3 }, second]);
    }

    #[test]
    fn the_oldest_gaps_are_forgotten() {
        let odd: Vec<i64> = (1..=200).map(|seq| seq * 2 + 1).collect();
        let position = after(&odd);
        assert_eq!(position.gaps().len(), GAPS_MAX);
        assert_eq!(gaps(&position).last(), Some(&(400, 400)));
        assert_eq!(TailPosition::parse(&position.to_string()), Some(position));
    }

    #[test]
    fn only_positions_are_read() {
        for bad in ["", "1", "a b", "1 2 3", "1 2 3 4", "1  2", "1 2 ", "99999999999999999999 1"] {
            assert_eq!(TailPosition::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_position_is_read_back(seqs in prop::collection::vec(1i64..300, 0..60)) {
            let mut seen = BTreeSet::new();
            let seqs: Vec<i64> = seqs.into_iter().filter(|seq| seen.insert(*seq)).collect();
            let position = after(&seqs);
            prop_assert_eq!(TailPosition::parse(&position.to_string()), Some(position));
        }

        #[test]
        fn the_gaps_are_the_numbers_below_the_last_that_did_not_come(seqs in prop::collection::vec(1i64..60, 1..40)) {
            let mut came = BTreeSet::new();
            let seqs: Vec<i64> = seqs.into_iter().filter(|seq| came.insert(*seq)).collect();
            let missing: Vec<i64> = after(&seqs).gaps().iter().flat_map(|gap| gap.first..=gap.last).collect();
            let last = *came.last().expect("it is not empty");
            prop_assert_eq!(missing, (1..last).filter(|seq| !came.contains(seq)).collect::<Vec<_>>());
        }
    }
}
