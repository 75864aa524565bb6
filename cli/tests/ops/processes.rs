//! The processes of the machine.

use std::{fs, time::Duration};

use super::gate::eventually;

/// The living members of a process group, each with its name. Zombies do not count.
pub fn members(group: i32) -> Vec<String> {
    let mut members = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { continue };
        // `pid (name) state parent group`. The name may contain any character.
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<_> = rest.split_whitespace().collect();
        if fields[2] == group.to_string() && !matches!(fields[0], "Z" | "X") {
            members.push(name.to_owned());
        }
    }
    members
}

/// Waits until this group has no living member, and returns how long that took.
pub async fn until_gone(group: i32) -> Duration {
    eventually(&format!("all of the group {group} gone"), || members(group).is_empty()).await
}
