//! The patches of `faults/broken/`, which break a build deliberately, still apply.

use std::process::Command;

use crate::tree::{files, root};

/// Checks that a patch applies to the present files.
fn apply(patch: &str) -> Result<(), String> {
    let output = Command::new("git").args(["apply", "--check", patch]).current_dir(root()).output();
    let output = output.map_err(|error| format!("git does not run: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn each_patch_of_a_broken_build_still_applies() {
    let patches: Vec<_> = files(&[".patch"]).collect();
    assert_eq!(patches.len(), 3, "there are {} patches", patches.len());
    let breaks: Vec<_> = patches
        .iter()
        .filter_map(|patch| apply(&patch.path).err().map(|error| format!("{}: {error}", patch.path)))
        .collect();
    crate::nothing_breaks("a patch of faults/broken/ that does not apply must be made again", &breaks);
}
