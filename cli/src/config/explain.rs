//! Makes the errors of clap say more: which environment variable has the wrong value, and that a secret may be in a file.

use std::{env, ffi::OsString};

use clap::{
    Arg, Command, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::settings::counterpart;

/// The error of a command line with these arguments. `root` describes all options.
pub(super) fn explain(mut error: Error, root: &Command, args: &[OsString]) -> Error {
    let better = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing))) => {
            Some(ContextValue::Strings(missing.iter().map(|option| with_file(option, root)).collect()))
        }
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, Some(ContextValue::String(option))) => {
            match error.get(ContextKind::InvalidValue) {
                Some(ContextValue::String(value)) => variable(option, value, root, args)
                    .map(|variable| ContextValue::String(format!("{option} (from {variable})"))),
                _ => None,
            }
        }
        _ => None,
    };
    if let Some(better) = better {
        error.insert(ContextKind::InvalidArg, better);
    }
    error
}

/// The option, and the one that names a file for its value, if there is one.
fn with_file(option: &str, root: &Command) -> String {
    let file = counterpart(key(option));
    let is_known = find(root, &|arg| arg.get_long() == Some(&file)).is_some();
    if is_known { format!("{option} or --{file} <FILE>") } else { option.to_owned() }
}

/// The environment variable from which an option has this value, if the arguments do not have the option.
fn variable(option: &str, value: &str, root: &Command, args: &[OsString]) -> Option<String> {
    let key = key(option);
    let flag = format!("--{key}");
    let is_given = |arg: &OsString| {
        let arg = arg.to_string_lossy();
        arg == flag || arg.strip_prefix(&flag).is_some_and(|rest| rest.starts_with('='))
    };
    if args.iter().any(is_given) {
        return None;
    }
    let has_value = |arg: &Arg| {
        let content = arg.get_env().and_then(env::var_os).unwrap_or_default();
        let content = content.to_string_lossy();
        arg.get_long() == Some(key) && (content == value || content.split(',').any(|part| part == value))
    };
    Some(find(root, &has_value)?.get_env()?.to_string_lossy().into_owned())
}

/// The name of an option as an error shows it, such as `--server <URL>`.
fn key(option: &str) -> &str {
    let name = option.trim_start_matches("--");
    name.split([' ', '=', '[', '.']).next().unwrap_or(name)
}

/// The first option of a command or of a verb below it that is wanted.
fn find<'a>(command: &'a Command, is_wanted: &dyn Fn(&Arg) -> bool) -> Option<&'a Arg> {
    let own = command.get_arguments().find(|arg| is_wanted(arg));
    own.or_else(|| command.get_subcommands().find_map(|verb| find(verb, is_wanted)))
}
