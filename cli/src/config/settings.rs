//! The settings: the long options of the command line, each with its section of the file.

use std::{any::TypeId, num, path::PathBuf};

use clap::{Arg, ArgAction, Command};

/// The section of the options that all operator's verbs have, such as the address of the server.
pub(crate) const CLIENT: &str = "client";

/// Commands without settings.
const APART: [&str; 4] = ["completions", "config", "help", "man"];

/// Options that ask for one action. They are not settings.
const ONCE: [&str; 5] = ["config", "demo", "help", "once", "version"];

/// The suffix of the option that names a secret's file.
const FILE: &str = "-file";

/// A long option that is a setting.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Its command, or [`CLIENT`], or empty for options that every command has.
    pub(crate) section: String,
    /// The option's name, without its dashes.
    pub(crate) key: String,
    pub(crate) arg: Arg,
}

/// The TOML type of a value.
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

    /// Whether its value must not be shown. Such an option hides its environment variable in the help.
    pub(crate) fn is_secret(&self) -> bool {
        self.arg.is_hide_env_values_set()
    }

    /// The name of its environment variable.
    pub(crate) fn env(&self) -> Option<&str> {
        self.arg.get_env().and_then(|name| name.to_str())
    }

    /// The placeholder of the value in the help.
    pub(crate) fn value_name(&self) -> String {
        match self.arg.get_value_names() {
            Some([name, ..]) => name.to_string(),
            _ => self.key.to_uppercase(),
        }
    }

    /// `section.key`, its name in messages.
    pub(crate) fn name(&self) -> String {
        if self.section.is_empty() { self.key.clone() } else { format!("{}.{}", self.section, self.key) }
    }
}

/// The setting of an argument, if it is one. `path` is the command that it belongs to.
pub(crate) fn setting(path: &[&str], arg: &Arg) -> Option<Setting> {
    Setting::of(path, arg)
}

/// The key of a secret's file, or of a file's secret.
pub(crate) fn counterpart(key: &str) -> String {
    key.strip_suffix(FILE).map_or_else(|| format!("{key}{FILE}"), str::to_owned)
}

/// All settings in the order of the command line. A setting that several verbs share appears once.
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
