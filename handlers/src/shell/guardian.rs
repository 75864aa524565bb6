//! A process that outlives the worker by a moment, to kill the process groups that the worker leaves behind. The kernel kills a
//! child whose parent dies, but not the children of the child. Without the guardian, they would keep running while another worker
//! executes the same run.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::unistd::Pid;
use worker::is_shortage;

/// Reads `+ <group>` and `- <group>` from the worker. The input ends when the worker ends, for whatever reason.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups=
while read -r what group; do
    rest=
    for known in $groups; do
        [ "$known" = "$group" ] || rest="$rest $known"
    done
    groups=$rest
    [ "$what" = - ] || groups="$groups $group"
done
for group in $groups; do
    kill -s KILL -- "-$group"
done
"#;

/// The guardian of this process, and the groups that it watches.
#[derive(Debug)]
struct Guardian {
    child: Option<Child>,
    groups: BTreeSet<Pid>,
    /// Whether it is logged that there is none.
    is_missed: bool,
}

/// Starts the guardian if there is none.
///
/// # Errors
/// The worker lacks what it needs to start a process. For any other reason, such as a machine without a shell, the worker does without
/// a guardian.
pub(super) fn ready() -> io::Result<()> {
    let mut guardian = guardian();
    let Guardian { child, groups, is_missed } = &mut *guardian;
    if child.is_some() {
        return Ok(());
    }
    match start() {
        Ok(started) => {
            *child = Some(started);
            for group in groups.clone() {
                guardian.send('+', group);
            }
        }
        Err(error) if is_shortage(&error) => return Err(error),
        Err(error) => {
            if !std::mem::replace(is_missed, true) {
                tracing::warn!(%error, "no guardian: processes may outlive a killed worker");
            }
        }
    }
    Ok(())
}

/// From now on this group dies with the worker.
pub(super) fn watch(group: Pid) {
    let mut guardian = guardian();
    guardian.groups.insert(group);
    guardian.send('+', group);
}

/// The group is gone. Another group may get its number.
pub(super) fn release(group: Pid) {
    let mut guardian = guardian();
    guardian.groups.remove(&group);
    guardian.send('-', group);
}

fn guardian() -> MutexGuard<'static, Guardian> {
    static GUARDIAN: Mutex<Guardian> = Mutex::new(Guardian { child: None, groups: BTreeSet::new(), is_missed: false });
    GUARDIAN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guardian {
    fn send(&mut self, what: char, group: Pid) {
        let Some(stdin) = self.child.as_mut().and_then(|child| child.stdin.as_mut()) else { return };
        // This does not block: a line is far shorter than the buffer of the pipe, and the guardian reads it at once.
        if let Err(error) = stdin.write_all(format!("{what} {group}\n").as_bytes()) {
            tracing::warn!(%error, "the guardian is gone: the next program starts another");
            if let Some(mut child) = self.child.take() {
                // It has closed its input, so it has ended.
                let _ = child.try_wait();
            }
        }
    }
}

fn start() -> io::Result<Child> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT, "ops-guardian"]).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use nix::sys::signal::Signal;

    use super::*;

    fn sleeper() -> Child {
        Command::new("/bin/sleep").arg("1000").process_group(0).spawn().unwrap()
    }

    fn group(child: &Child) -> Pid {
        Pid::from_raw(i32::try_from(child.id()).unwrap())
    }

    #[test]
    fn at_the_end_of_its_input_it_kills_the_groups_that_were_not_released() {
        let guardian = start().unwrap();
        let (mut left, mut released) = (sleeper(), sleeper());
        let mut input = guardian.stdin.as_ref().unwrap();
        let lines = format!("+ {0}\n+ {1}\n- {1}\n", group(&left), group(&released));
        input.write_all(lines.as_bytes()).unwrap();
        guardian.wait_with_output().unwrap();
        assert_eq!(left.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
        assert!(released.try_wait().unwrap().is_none(), "it lives");
        released.kill().unwrap();
        released.wait().unwrap();
    }
}
