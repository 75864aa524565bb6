//! The changes that watchers see.

use super::*;

#[test]
fn a_run_that_went_backwards() {
    let breaking = |folder: &mut Folder| {
        let again = saw(TWICE, 3, Status::Running, 1, 1);
        insert_after(folder, |what| matches!(what, What::WatchSaw { run: TWICE, revision: 7, .. }), "all", again);
    };
    let found = found(breaking);
    assert!(found.iter().any(|(_, what)| what.contains("saw revision 7 of run")), "{found:#?}");
}

#[test]
fn an_end_that_never_came() {
    let breaking =
        |folder: &mut Folder| remove(folder, |what| matches!(what, What::WatchSaw { run: TWICE, revision: 7, .. }));
    finds(breaking, &[(Proof::Watching, "all last saw that run")]);
}

#[test]
fn a_run_that_a_watcher_never_saw() {
    let breaking = |folder: &mut Folder| remove(folder, |what| matches!(what, What::WatchSaw { run: LOST, .. }));
    finds(breaking, &[(Proof::Watching, "all never saw that run")]);
}

#[test]
fn a_run_that_a_watcher_saw_only_when_it_changed_again() {
    let breaking =
        |folder: &mut Folder| remove(folder, |what| matches!(what, What::WatchSaw { run: PARKED, revision: 1, .. }));
    finds(breaking, &[(Proof::Watching, "all followed while run")]);
}

#[test]
fn a_watcher_that_began_to_follow_later_need_not_have_seen_the_run() {
    let breaking = |folder: &mut Folder| {
        remove(folder, |what| matches!(what, What::WatchSaw { run: PARKED, revision: 1, .. }));
        let again = What::WatchOpened { watcher: "all".into(), filter: Default::default(), resumed: true };
        insert_after(folder, |what| matches!(what, What::Quiet), "all", again);
    };
    finds(breaking, &[]);
}

#[test]
fn a_run_that_left_the_filter_without_an_event() {
    let breaking = |folder: &mut Folder| {
        let stale = saw(LOST, 3, Status::Running, 1, 1);
        let What::WatchSaw { run, revision, status, attempt, fence, .. } = stale else { return };
        let stale = What::WatchSaw { watcher: "ended".into(), run, revision, status, attempt, fence };
        insert_late(folder, "ended", stale);
    };
    finds(breaking, &[(Proof::Watching, "and never that it left the filter")]);
}

#[test]
fn a_run_that_left_the_filter_with_an_event() {
    let breaking = |folder: &mut Folder| {
        insert_late(folder, "ended", What::WatchLeftFilter { watcher: "ended".into(), run: LOST });
    };
    finds(breaking, &[]);
    let breaking = |folder: &mut Folder| {
        insert_late(folder, "ended", What::WatchLeftFilter { watcher: "ended".into(), run: PARKED });
    };
    finds(breaking, &[(Proof::Watching, "ended never saw that run")]);
}

#[test]
fn a_deletion_that_never_happened() {
    let breaking = |folder: &mut Folder| {
        insert_late(folder, "ended", What::WatchDeleted { watcher: "other".into(), run: LOST });
    };
    finds(breaking, &[(Proof::Watching, "was deleted, and it is in the database")]);
}
