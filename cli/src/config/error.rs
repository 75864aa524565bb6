//! The mistakes in a configuration file.

use std::{fmt, path::PathBuf};

/// All mistakes in a file, in the order of its lines.
#[derive(Debug)]
pub(crate) struct ConfigError {
    pub(crate) path: PathBuf,
    pub(crate) wrong: Vec<Wrong>,
}

/// One mistake, and its line if it has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wrong {
    pub(crate) line: Option<usize>,
    pub(crate) what: String,
}

impl Wrong {
    pub(crate) fn at(line: usize, what: impl Into<String>) -> Self {
        Self { line: Some(line), what: what.into() }
    }
}

impl ConfigError {
    /// A mistake of the file as a whole.
    pub(crate) fn whole(path: PathBuf, what: impl Into<String>) -> Self {
        Self { path, wrong: vec![Wrong { line: None, what: what.into() }] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "the configuration file can not be used")?;
        for Wrong { line, what } in &self.wrong {
            match line {
                Some(line) => write!(f, "\n  {path}:{line}: {what}")?,
                None => write!(f, "\n  {path}: {what}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
