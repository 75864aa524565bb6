//! How many runs a server may send. Pure.

/// The worker's permission to the server to send runs: a total for one stream, which only rises.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    given: i64,
    sent: i64,
}

impl Credit {
    /// The server has sent one run on this stream.
    pub(crate) fn given(&mut self) {
        self.given += 1;
    }

    /// The total to send, if it has risen. It never falls, because only a run that counts as given takes a slot.
    pub(crate) fn due(&self, free_slots: usize) -> Option<i64> {
        let total = self.given.saturating_add(i64::try_from(free_slots).unwrap_or(i64::MAX));
        (total > self.sent).then_some(total)
    }

    pub(crate) fn sent(&mut self, total: i64) {
        self.sent = total;
    }

    /// Runs that the server may still send.
    pub(crate) fn outstanding(&self) -> i64 {
        self.sent - self.given
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In any order of events the total never falls, and the server can never give more runs than there are slots.
        #[test]
        fn credit_never_falls_and_never_exceeds_the_slots(slots in 1usize..8, steps in prop::collection::vec(any::<bool>(), 0..200)) {
            let (mut credit, mut busy, mut last) = (Credit::default(), 0usize, 0);
            for give in steps {
                if let Some(total) = credit.due(slots - busy) {
                    prop_assert!(total > last);
                    last = total;
                    credit.sent(total);
                }
                prop_assert!(credit.outstanding() >= 0);
                prop_assert_eq!(credit.outstanding() as usize + busy, slots);
                if give && credit.outstanding() > 0 {
                    credit.given();
                    busy += 1;
                } else if !give && busy > 0 {
                    busy -= 1;
                }
            }
        }
    }
}
