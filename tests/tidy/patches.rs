//! The deliberately broken builds of `faults/broken/` can still be made.

use std::process::Command;

use crate::tree::{files, root};

/// Whether a patch fits the files as they are.
fn apply(patch: &str) -> Result<(), String> {
    let output = Command::new("git").args(["apply", "--check", patch]).current_dir(root()).output();
    let output = output.map_err(|error| format!("git does not run: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn each_broken_build_is_still_a_patch_away() {
    let patches: Vec<_> = files(&[".patch"]).collect();
    assert_eq!(patches.len(), 3, "there are {} patches", patches.len());
    let breaks: Vec<_> = patches
        .iter()
        .filter_map(|patch| apply(&patch.path).err().map(|error| format!("{}: {error}", patch.path)))
        .collect();
    crate::nothing_breaks("a patch of faults/broken/ that does not fit is made again", &breaks);
}
