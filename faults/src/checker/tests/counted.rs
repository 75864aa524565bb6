//! The counters of sessions.

use super::*;

#[test]
fn each_counter_that_is_not_the_number_of_its_runs() {
    type Break = (&'static str, fn(&mut crate::history::SessionRow));
    let breaks: [Break; 4] = [
        ("counts total 5, and has 4", |it| it.total += 1),
        ("counts succeeded 0, and has 1", |it| it.succeeded -= 1),
        ("counts failed 2, and has 1", |it| it.failed += 1),
        ("counts cancelled 3, and has 2", |it| it.cancelled += 1),
    ];
    for (words, breaking) in breaks {
        finds(|folder| breaking(&mut folder.end.sessions[0]), &[(Proof::Counters, words)]);
    }
}

#[test]
fn counters_that_are_impossible() {
    let see = |counters| What::CountersSeen { session: SESSION, counters };
    let breaking = |folder: &mut Folder| insert_late(folder, "c3", see(counters(3, 1, 3)));
    finds(breaking, &[(Proof::Counters, "a total of 3 and parts that make 4")]);
    let breaking = |folder: &mut Folder| insert_late(folder, "c1", see(counters(4, 0, 3)));
    finds(breaking, &[(Proof::Counters, "succeeded 1, and later with 0")]);
}
