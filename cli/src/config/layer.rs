//! What a file says, beneath the flags and the environment and above the defaults.

use std::path::{Path, PathBuf};

use clap::Command;

use super::{
    check::check,
    document::Document,
    error::ConfigError,
    secret,
    settings::{Setting, setting},
};

/// A file that is right. Without a file it is empty.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) path: PathBuf,
    /// The sections that the file has.
    pub(crate) sections: Vec<String>,
    pub(crate) given: Vec<Given>,
}

/// What a line of the file says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// Empty before the first section.
    pub(crate) section: String,
    pub(crate) key: String,
    pub(crate) line: usize,
    /// As it would be written on the command line.
    pub(crate) raw: Vec<String>,
}

impl Layer {
    pub(crate) fn read(path: &Path, settings: &[Setting]) -> Result<Self, ConfigError> {
        check(Document::read(path)?, settings)
    }

    /// What the file says of a setting: in its section, or else before the first section.
    pub(crate) fn of(&self, setting: &Setting) -> Option<&Given> {
        let own = |key: &str| self.given.iter().find(|it| it.section == setting.section && it.key == key);
        own(&setting.key).or_else(|| {
            // A section that has the secret itself does not want the file that all others read it from, nor the other way round.
            let is_decided = own(&secret::counterpart(&setting.key)).is_some();
            let shared = || self.given.iter().find(|it| it.section.is_empty() && it.key == setting.key);
            if is_decided { None } else { shared() }
        })
    }

    /// Makes what the file says the defaults of the command line.
    pub(crate) fn apply(&self, command: Command) -> Command {
        self.apply_at(command, &[])
    }

    fn apply_at(&self, command: Command, path: &[&str]) -> Command {
        let command = command.mut_args(|arg| match setting(path, &arg).and_then(|it| self.of(&it)) {
            Some(given) => arg.default_values(given.raw.clone()).required(false),
            None => arg,
        });
        command.mut_subcommands(|verb| {
            let name = verb.get_name().to_owned();
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            self.apply_at(verb, &path)
        })
    }
}
