//! Any sequence of states along the edges is good, whichever client sees a part of it. One wrong state in it is found.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// A state of a run: status, fence, attempt.
type State = (Status, i64, i32);

/// The states of a run from its enqueue, by these choices.
fn walk(choices: &[u8]) -> Vec<State> {
    let mut states = vec![(Status::Queued, 0, 0)];
    for choice in choices {
        let (status, fence, attempt) = states[states.len() - 1];
        let next = match (status, choice % 4) {
            (Status::Queued, 3) | (Status::Claimed | Status::Running, 2) => (Status::Cancelled, fence, attempt),
            (Status::Queued, 2) => (Status::Running, fence + 1, attempt + 1),
            (Status::Queued, _) => (Status::Claimed, fence + 1, attempt),
            (Status::Claimed, 0) => (Status::Running, fence, attempt + 1),
            (Status::Claimed, 1) | (Status::Running, 0) => (Status::Queued, fence, attempt),
            (Status::Claimed, _) => (Status::Succeeded, fence, attempt + 1),
            (Status::Running, 1) => (Status::Running, fence, attempt),
            (Status::Running, _) => (Status::Failed, fence, attempt),
            (Status::Succeeded | Status::Failed | Status::Cancelled, _) => break,
        };
        states.push(next);
    }
    states
}

/// The violations if clients saw these revisions of a run, each once.
fn found_of(states: &[State], seen: impl IntoIterator<Item = (i64, State)>) -> Vec<String> {
    let mut folder = good();
    folder.events.retain(|event| !matches!(event.what, What::RunSeen { .. } | What::WatchSaw { .. }));
    let (status, fence, attempt) = states[states.len() - 1];
    let run = run(&mut folder, TWICE);
    (run.status, run.fence, run.attempt) = (status, fence, attempt);
    run.revision = i64::try_from(states.len()).unwrap();
    for (number, (revision, (status, fence, attempt))) in seen.into_iter().enumerate() {
        insert_late(
            &mut folder,
            &format!("asker-{number}"),
            What::RunSeen { run: TWICE, status, revision, fence, attempt },
        );
    }
    let violations = judge(&folder).violations.into_iter();
    violations.filter(|it| it.proof == Proof::States).map(|it| it.what).collect()
}

proptest! {
    # ![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sequence_along_the_edges_is_good_and_one_wrong_revision_is_found(
        choices in vec(any::<u8>(), 1..16),
        seen in vec(any::<bool>(), 17),
        lie in any::<Index>(),
        lied in 0_usize..3,
    ) {
        let states = walk(&choices);
        let part = || (1..).zip(states.iter().copied()).zip(&seen).filter(|(_, seen)| **seen).map(|(state, _)| state);
        prop_assert_eq!(found_of(&states, part()), Vec::<String>::new());

        let index = lie.index(states.len());
        let (status, fence, attempt) = states[index];
        let other = if status == Status::Succeeded { Status::Failed } else { Status::Succeeded };
        let lie = [(other, fence, attempt), (status, fence + 1, attempt), (status, fence, attempt + 1)][lied];
        let truth = (1..).zip(states.iter().copied());
        let seen = truth.chain([(i64::try_from(index).unwrap() + 1, lie)]);
        prop_assert!(!found_of(&states, seen).is_empty());
    }
}
