//! What a file says, beneath the flags and the environment and above the defaults.

use std::path::PathBuf;

use clap::Command;

use super::settings::{Setting, counterpart, setting};

/// What these do concerns the server's database, so what they are not told themselves, the server's section says.
const LIKE_SERVE: [&str; 2] = ["doctor", "migrate"];

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
    /// What the file says of a setting: in its section, or in that of the server for what is done to the server's database,
    /// or else before the first section.
    pub(crate) fn of(&self, setting: &Setting) -> Option<&Given> {
        let counterpart = counterpart(&setting.key);
        let like = LIKE_SERVE.contains(&setting.section.as_str()).then_some("serve");
        for section in [Some(setting.section.as_str()), like, Some("")].into_iter().flatten() {
            let said = |key: &str| self.given.iter().find(|it| it.section == section && it.key == key);
            // A section that has the secret itself does not want the file that others read it from, nor the other way round.
            if let Some(given) = said(&setting.key) {
                return Some(given);
            } else if said(&counterpart).is_some() {
                return None;
            }
        }
        None
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
