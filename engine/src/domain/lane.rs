//! The four lanes.

/// Lanes separate kinds of traffic; a worker takes the best run of all its lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    A,
    B,
    C,
    D,
}

impl Lane {
    pub const ALL: [Lane; 4] = [Lane::A, Lane::B, Lane::C, Lane::D];

    /// The word in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Lane::A => "A",
            Lane::B => "B",
            Lane::C => "C",
            Lane::D => "D",
        }
    }

    /// The lane of a word in SQL.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == word)
    }
}
