//! A process that outlives the worker by a moment, to kill the process groups that the worker leaves behind. The kernel kills a
//! child whose parent dies, but not the children of the child. Without the guardian, they would keep running while another worker
//! executes the same run.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

use nix::unistd::Pid;

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

/// From now on this group dies with the worker.
pub(super) fn watch(group: Pid) {
    send('+', group);
}

/// The group is gone. Another group may get its number.
pub(super) fn release(group: Pid) {
    send('-', group);
}

fn send(what: char, group: Pid) {
    static GUARDIAN: OnceLock<Option<Mutex<Child>>> = OnceLock::new();
    let Some(guardian) = GUARDIAN.get_or_init(start) else { return };
    let mut guardian = guardian.lock().unwrap_or_else(PoisonError::into_inner);
    // This does not block: a line is far shorter than the buffer of the pipe, and the guardian reads it at once.
    let written = guardian.stdin.as_mut().map(|stdin| stdin.write_all(format!("{what} {group}\n").as_bytes()));
    if let Some(Err(error)) = written {
        tracing::warn!(%error, "the guardian is gone: processes may outlive a killed worker");
        // Log it once.
        guardian.stdin = None;
    }
}

fn start() -> Option<Mutex<Child>> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT, "ops-guardian"]).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(guardian) => Some(Mutex::new(guardian)),
        Err(error) => {
            tracing::warn!(%error, "no guardian: processes may outlive a killed worker");
            None
        }
    }
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
        let guardian = start().unwrap().into_inner().unwrap();
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
