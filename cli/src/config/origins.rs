//! Each setting of a command, and where its value comes from.

use super::{settings::Setting, source::Source};

/// Each setting of a command: its values, and where they come from.
#[derive(Debug, Default)]
pub(crate) struct Origins(pub(crate) Vec<Effective>);

/// A setting as it is.
#[derive(Debug)]
pub(crate) struct Effective {
    pub(crate) setting: Setting,
    /// As they would be written on the command line. A secret is there to the letter.
    pub(crate) values: Vec<String>,
    pub(crate) source: Source,
    /// Whether its command can not do without it.
    pub(crate) is_required: bool,
}

impl Origins {
    /// What the command can not do without, and nobody says.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &str> {
        let is_missing = |it: &&Effective| it.is_required && it.source == Source::Unset;
        self.0.iter().filter(is_missing).map(|it| it.setting.key.as_str())
    }

    /// Where a setting of the command was chosen, if it was, and not on the command line that everybody sees.
    pub(crate) fn told(&self, key: &str) -> Option<String> {
        let found = self.0.iter().rev().find(|it| it.setting.key == key)?;
        match &found.source {
            Source::Unset | Source::Default | Source::Flag(_) => None,
            source => Some(source.to_string()),
        }
    }
}
