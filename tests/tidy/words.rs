//! The words of the field stand, and no private words. ARCHITECTURE.md has the table of those that stand.

use std::collections::BTreeSet;

use crate::files::{CODE, has_word};
use crate::tree::files;

/// The forms of each private word, and the words that stand for it.
const WORDS: [(&[&str], &str); 10] = [
    (&["stranger", "strangers"], "another transaction, or foreign lock"),
    (&["patience", "patient", "impatient"], "timeout, or retry budget"),
    (&["outlook", "outlooks"], "contention"),
    (&["hint", "hints"], "wakeup"),
    (&["hand in", "hands in", "handed in", "handing in"], "submit"),
    (&["hand out", "hands out", "handed out", "hand over", "hands over", "handed over"], "deliver, or give"),
    (&["round", "rounds"], "batch"),
    (&["deed", "deeds"], "fault, or action"),
    (&["house", "houses", "book", "books"], "fixture or cluster; grants"),
    (&["told"], "sent, ordered, answered or reported"),
];

/// Phrases in which such a word has its plain meaning.
const PHRASES: [&str; 6] = ["round trip", "server round robin", "round(", "size hint", "\"hint: ", "hint = 'set"];

/// The line in small letters, with a space between the words of a name: `RETRY_BUDGET` and `retryBudget` are `retry budget`.
fn spaced(line: &str) -> String {
    let mut words = String::with_capacity(line.len());
    let mut after_small = false;
    for c in line.chars() {
        if after_small && c.is_uppercase() {
            words.push(' ');
        }
        after_small = c.is_lowercase();
        words.extend(if c == '_' { ' ' } else { c }.to_lowercase());
    }
    words
}

/// The private words of a line, each with the words that stand for it, and the phrases of the line.
fn examine(line: &str) -> (Vec<(&'static str, &'static str)>, Vec<&'static str>) {
    let mut words = spaced(line);
    let phrases: Vec<_> = PHRASES.into_iter().filter(|phrase| words.contains(phrase)).collect();
    for phrase in &phrases {
        words = words.replace(phrase, "");
    }
    let forms = WORDS.iter().flat_map(|(forms, stands)| forms.iter().map(|form| (*form, *stands)));
    (forms.filter(|(form, _)| has_word(&words, form)).collect(), phrases)
}

#[test]
fn no_file_has_a_private_word_where_the_field_has_one() {
    let (mut breaks, mut unused) = (Vec::new(), BTreeSet::from(PHRASES));
    // This file has to name the words.
    for file in files(&CODE).chain(files(&[".md"])).filter(|file| file.path != file!()) {
        for (number, line) in file.lines() {
            let (found, phrases) = examine(line);
            breaks.extend(found.iter().map(|(word, stands)| format!("{}:{number}: {word} -> {stands}", file.path)));
            unused.retain(|phrase| !phrases.contains(phrase));
        }
    }
    breaks.extend(unused.iter().map(|phrase| format!("{}: no file has the phrase {phrase}", file!())));
    crate::nothing_breaks("one word for one thing", &breaks);
}

#[test]
fn a_private_word_is_found_in_prose_and_in_names_and_a_phrase_passes() {
    let found = |line| examine(line).0.into_iter().map(|(word, _)| word).collect::<Vec<_>>();
    assert_eq!(found("// A hint, or two Hints."), ["hint", "hints"]);
    assert_eq!(found("const LOCK_PATIENCE_S: f64 = houseOf(each_round);"), ["patience", "round", "house"]);
    assert_eq!(found("fn hands_out(books: &Books) {}"), ["hands out", "books"]);
    assert_eq!(found("two round trips, time.Round(s), fn size_hint() -> SizeHint"), [""; 0]);
    assert_eq!(found("a round trip in each round"), ["round"]);
    assert_eq!(found("a bookmark, an indeed booked thing around the background, by hand, in time"), [""; 0]);
}
