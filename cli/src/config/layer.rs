//! The settings of a file: below flags and environment, above the defaults.

use std::path::PathBuf;

use clap::Command;

use super::settings::{Setting, counterpart, setting};

/// Commands that work on the server's database. They take missing settings from the section of the server.
const LIKE_SERVE: [&str; 2] = ["doctor", "migrate"];

/// A valid file; empty if there is no file.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) path: PathBuf,
    /// The names of its sections.
    pub(crate) sections: Vec<String>,
    pub(crate) given: Vec<Given>,
}

/// One key of the file with its values.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// Empty for a key before the first section.
    pub(crate) section: String,
    pub(crate) key: String,
    pub(crate) line: usize,
    /// The values as the command line would have them.
    pub(crate) raw: Vec<String>,
}

impl Layer {
    /// The file's value of a setting: from its own section, else from the server's section if the command works on the
    /// server's database, else from the keys before the first section.
    pub(crate) fn of(&self, setting: &Setting) -> Option<&Given> {
        let counterpart = counterpart(&setting.key);
        let like = LIKE_SERVE.contains(&setting.section.as_str()).then_some("serve");
        for section in [Some(setting.section.as_str()), like, Some("")].into_iter().flatten() {
            let said = |key: &str| self.given.iter().find(|it| it.section == section && it.key == key);
            // A section that sets the secret itself must not inherit the secret's file from another section, or the
            // reverse.
            if let Some(given) = said(&setting.key) {
                return Some(given);
            } else if said(&counterpart).is_some() {
                return None;
            }
        }
        None
    }

    /// Makes the values of the file the defaults of the command line.
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
