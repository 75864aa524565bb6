//! The resources that this process uses, read from `/proc`. Without `/proc`, nothing is known.

use std::fs;

/// Linux uses this value on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: i64 = 4_096;

/// The resources that the process uses.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub resident_bytes: i64,
    pub threads: i64,
    pub open_fds: i64,
    /// The time of the start, since the Unix epoch.
    pub start_seconds: i64,
}

/// Reads the present usage.
pub fn usage() -> Option<Usage> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let open_fds = fs::read_dir("/proc/self/fd").ok()?.count();
    parse(&stat, &boot, open_fds)
}

fn parse(stat: &str, boot: &str, open_fds: usize) -> Option<Usage> {
    // The name of the program is in parentheses, and may contain any characters.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<i64>().ok();
    let booted: i64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(Usage {
        cpu_seconds: (number(11)? + number(12)?) as f64 / TICKS_PER_SECOND,
        resident_bytes: number(21)? * PAGE_BYTES,
        threads: number(17)?,
        open_fds: i64::try_from(open_fds).ok()?,
        start_seconds: booted + (number(19)? as f64 / TICKS_PER_SECOND) as i64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read_whatever_the_name_of_the_program() {
        let stat =
            "42 (a) b) S 1 42 42 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 7 0 12300 268435456 1000 18446744073709551615";
        let usage = parse(stat, "cpu 1 2\nbtime 1700000000\nprocesses 1\n", 9);
        let expected = Usage {
            cpu_seconds: 2.0,
            resident_bytes: 4_096_000,
            threads: 7,
            open_fds: 9,
            start_seconds: 1_700_000_123,
        };
        assert_eq!(usage, Some(expected));
        assert_eq!(parse("42 (a) S 1", "btime 1\n", 9), None);
    }
}
