//! Holds what a compiler does not: who may know whom, what every file keeps to, what may be depended on.
//!
//! [`tree`] has the files, [`paths`] what a file names, [`modules`] which file that is; the rules are in [`arrows`], [`crates`],
//! [`files`], [`names`], [`patches`] and [`words`].

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
