//! Which settings there are: the long options of the command line, by the section of the file in which they stand.

use std::{any::TypeId, num, path::PathBuf};

use clap::{Arg, ArgAction, Command};

/// The section of the operator's verbs: what all of them know, such as the address of the server.
pub(crate) const CLIENT: &str = "client";

/// These commands need no settings.
const APART: [&str; 4] = ["completions", "config", "help", "man"];

/// These options ask for something once, and say nothing of how it shall run.
const ONCE: [&str; 5] = ["config", "demo", "help", "once", "version"];

/// What is added to the name of a secret, for the file that holds it.
const FILE: &str = "-file";

/// A long option that says how something runs.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The command that it belongs to, [`CLIENT`], or nothing for what every command knows.
    pub(crate) section: String,
    /// The option's name, without its dashes.
    pub(crate) key: String,
    pub(crate) arg: Arg,
}

/// How a value is written in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Switch,
    Integer,
    Float,
    Text,
    /// The option's own parser decides.
    Other,
}

impl Setting {
    fn of(path: &[&str], arg: &Arg) -> Option<Self> {
        let key = arg.get_long().filter(|key| !ONCE.contains(key))?;
        let section = match path {
            [] => "",
            [first, ..] if APART.contains(first) => return None,
            _ if arg.is_global_set() => CLIENT,
            [command] => command,
            _ => return None,
        };
        Some(Self { section: section.to_owned(), key: key.to_owned(), arg: arg.clone() })
    }

    pub(crate) fn kind(&self) -> Kind {
        let id = self.arg.get_value_parser().type_id();
        let is_one_of = |types: &[TypeId]| types.iter().any(|it| id == *it);
        if matches!(self.arg.get_action(), ArgAction::SetTrue) {
            Kind::Switch
        } else if is_one_of(&[
            TypeId::of::<u8>(),
            TypeId::of::<u16>(),
            TypeId::of::<u32>(),
            TypeId::of::<u64>(),
            TypeId::of::<usize>(),
            TypeId::of::<i32>(),
            TypeId::of::<i64>(),
            TypeId::of::<num::NonZeroU16>(),
            TypeId::of::<num::NonZeroU32>(),
            TypeId::of::<num::NonZeroU64>(),
            TypeId::of::<num::NonZeroUsize>(),
        ]) {
            Kind::Integer
        } else if is_one_of(&[TypeId::of::<f32>(), TypeId::of::<f64>()]) {
            Kind::Float
        } else if is_one_of(&[TypeId::of::<String>()]) || self.is_path() {
            Kind::Text
        } else {
            Kind::Other
        }
    }

    /// Whether it takes several values.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.arg.get_action(), ArgAction::Append)
    }

    pub(crate) fn is_path(&self) -> bool {
        self.arg.get_value_parser().type_id() == TypeId::of::<PathBuf>()
    }

    /// Whether its value must not be shown. An option says so by hiding what its environment variable holds.
    pub(crate) fn is_secret(&self) -> bool {
        self.arg.is_hide_env_values_set()
    }

    /// The environment variable.
    pub(crate) fn env(&self) -> Option<&str> {
        self.arg.get_env().and_then(|name| name.to_str())
    }

    /// What stands for the value in the help.
    pub(crate) fn value_name(&self) -> String {
        match self.arg.get_value_names() {
            Some([name, ..]) => name.to_string(),
            _ => self.key.to_uppercase(),
        }
    }

    /// `section.key`, as it is called in messages.
    pub(crate) fn name(&self) -> String {
        if self.section.is_empty() { self.key.clone() } else { format!("{}.{}", self.section, self.key) }
    }
}

/// The setting that an argument of the command at this path is.
pub(crate) fn setting(path: &[&str], arg: &Arg) -> Option<Setting> {
    Setting::of(path, arg)
}

/// The file of a secret, or the secret of a file.
pub(crate) fn counterpart(key: &str) -> String {
    key.strip_suffix(FILE).map_or_else(|| format!("{key}{FILE}"), str::to_owned)
}

/// All settings, in the order of the command line; what several verbs share is there once.
pub(crate) fn settings(root: &Command) -> Vec<Setting> {
    let mut found = Vec::new();
    collect(root, &mut Vec::new(), &mut found);
    found
}

fn collect<'a>(command: &'a Command, path: &mut Vec<&'a str>, found: &mut Vec<Setting>) {
    for setting in command.get_arguments().filter_map(|arg| Setting::of(path, arg)) {
        if !found.iter().any(|it| it.section == setting.section && it.key == setting.key) {
            found.push(setting);
        }
    }
    for verb in command.get_subcommands() {
        path.push(verb.get_name());
        collect(verb, path, found);
        path.pop();
    }
}
