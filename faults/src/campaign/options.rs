//! The options of a campaign, and its seeds.

use std::iter;
use std::path::PathBuf;

/// The options of a campaign.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program `faults`.
    pub program: PathBuf,
    /// More arguments of each run, such as the program under test.
    pub arguments: Vec<String>,
    pub seeds: Vec<u64>,
    pub parallel: usize,
    /// How long each run injects faults.
    pub seconds: u64,
    /// Where the runs write. The folders of good runs are removed.
    pub folder: PathBuf,
}

/// Consecutive seeds from the first, or random ones that are short enough to type.
pub fn seeds(count: usize, first: Option<u64>) -> Vec<u64> {
    match first {
        Some(first) => (first..).take(count).collect(),
        None => iter::repeat_with(|| u64::from(rand::random::<u32>())).take(count).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_follow_the_first_or_are_random() {
        assert_eq!(seeds(3, Some(7)), [7, 8, 9]);
        assert_eq!(seeds(3, None).len(), 3);
        assert_ne!(seeds(8, None), seeds(8, None));
    }
}
