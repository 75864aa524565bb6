//! Each setting of a command, and where its value comes from.

use super::{settings::Setting, source::Source};

/// The settings of a command in the order of the command line.
#[derive(Debug, Default)]
pub(crate) struct Origins(pub(crate) Vec<Effective>);

/// A setting, its value, and the source of the value.
#[derive(Debug)]
pub(crate) struct Effective {
    pub(crate) setting: Setting,
    /// The values as the command line would have them. A secret is not redacted here.
    pub(crate) values: Vec<String>,
    pub(crate) source: Source,
    /// Whether its command requires it.
    pub(crate) is_required: bool,
}

impl Origins {
    /// The required settings that have no value.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &str> {
        let is_missing = |it: &&Effective| it.is_required && it.source == Source::Unset;
        self.0.iter().filter(is_missing).map(|it| it.setting.key.as_str())
    }

    /// The place where a setting was chosen, if that is the environment or a file. The user sees the flags anyway.
    pub(crate) fn place_of(&self, key: &str) -> Option<String> {
        let found = self.0.iter().rev().find(|it| it.setting.key == key)?;
        match &found.source {
            Source::Unset | Source::Default | Source::Flag(_) => None,
            source => Some(source.to_string()),
        }
    }
}
