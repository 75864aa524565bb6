//! The command that installs PostgreSQL on this system, for the error about missing programs.

use std::fs;

/// The exact command that installs PostgreSQL's server programs on this system, or `None` when the system is unknown.
///
/// Begins with `sudo` unless this process is root or the system's installer must not be run by root.
pub fn install_command() -> Option<String> {
    if cfg!(target_os = "macos") {
        return Some("brew install postgresql@17".to_owned());
    }
    let release = fs::read_to_string("/etc/os-release").or_else(|_| fs::read_to_string("/usr/lib/os-release")).ok()?;
    command_for(&release, nix::unistd::geteuid().is_root())
}

/// Chooses by `ID`, then by the families of `ID_LIKE`, the closest first.
fn command_for(os_release: &str, root: bool) -> Option<String> {
    let value = |key: &str| {
        os_release
            .lines()
            .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches(['"', '\'']).to_lowercase())
            .unwrap_or_default()
    };
    let (id, like) = (value("ID"), value("ID_LIKE"));
    let command = std::iter::once(id.as_str()).chain(like.split_whitespace()).find_map(|family| match family {
        "debian" | "ubuntu" => Some("apt-get install -y postgresql"),
        "fedora" | "rhel" | "centos" | "rocky" | "almalinux" => Some("dnf install -y postgresql-server"),
        "alpine" => Some("apk add postgresql"),
        "arch" => Some("pacman -S postgresql"),
        "suse" | "opensuse" => Some("zypper install -y postgresql-server"),
        _ => None,
    })?;
    Some(if root { command.to_owned() } else { format!("sudo {command}") })
}

#[cfg(test)]
mod tests {
    use super::command_for;

    #[test]
    fn the_command_follows_id_then_id_like() {
        let debian = "PRETTY_NAME=\"Debian\"\nID=debian\n";
        let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n";
        let rocky = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n";
        assert_eq!(command_for(debian, true).as_deref(), Some("apt-get install -y postgresql"));
        assert_eq!(command_for(mint, false).as_deref(), Some("sudo apt-get install -y postgresql"));
        assert_eq!(command_for(rocky, false).as_deref(), Some("sudo dnf install -y postgresql-server"));
        assert_eq!(command_for("ID=alpine\n", true).as_deref(), Some("apk add postgresql"));
        assert_eq!(command_for("ID=arch\n", true).as_deref(), Some("pacman -S postgresql"));
        assert_eq!(command_for("ID=plan9\n", true), None);
    }
}
