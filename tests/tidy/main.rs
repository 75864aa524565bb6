//! Rules that the compiler does not check: which module may name which, what holds for every file, and allowed dependencies.
//!
//! [`tree`] has the files, [`paths`] finds the paths that a file names, and [`modules`] the files that these lead to. The rules are
//! in [`arrows`], [`crates`], [`files`], [`names`], [`patches`], [`statements`] and [`words`].

mod arrows;
mod crates;
mod files;
mod modules;
mod names;
mod patches;
mod paths;
mod statements;
mod tree;
mod words;

/// Fails with one line for each break of a rule.
fn nothing_breaks(rule: &str, breaks: &[String]) {
    assert!(breaks.is_empty(), "{rule}\n  {}\n", breaks.join("\n  "));
}
