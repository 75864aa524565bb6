//! Secrets. A file of its own may hold a secret, so that no command line, environment or configuration contains it. A
//! secret is never shown.

use std::{fs, path::PathBuf};

use anyhow::Result;
use clap::{Arg, ArgMatches, Command};

use super::{
    layer::Layer,
    settings::{counterpart, setting},
    source::Source,
};
use crate::errors::UsageError;

/// Adds an option `--NAME-file` to each option that is a secret.
pub(crate) fn with_files(command: Command) -> Command {
    let files: Vec<Arg> = command.get_arguments().filter_map(file_option).collect();
    command.args(files).mut_subcommands(with_files)
}

fn file_option(secret: &Arg) -> Option<Arg> {
    let long = secret.get_long().filter(|_| secret.is_hide_env_values_set())?;
    let option = Arg::new(counterpart(long))
        .long(counterpart(long))
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .global(secret.is_global_set())
        .help(format!("A file that holds what --{long} would say"));
    let option = match secret.get_env().and_then(|name| name.to_str()) {
        Some(name) => option.env(format!("{name}_FILE")),
        None => option,
    };
    Some(match secret.get_help_heading() {
        Some(heading) => option.help_heading(heading.to_owned()),
        // Explicitly none. Otherwise clap puts it under the heading of the command's last option.
        None => option.help_heading(None::<&'static str>),
    })
}

/// A secret that came from its file.
pub(crate) struct Revealed {
    pub(crate) section: String,
    pub(crate) key: String,
    /// Where the file was named.
    pub(crate) source: Source,
    pub(crate) file: PathBuf,
    content: String,
}

/// Reads the secrets of the given command from their files. A secret that has a source of higher rank than its file is
/// left alone.
pub(crate) fn reveal(plain: &Command, asked: &ArgMatches, layer: &Layer) -> Result<Vec<Revealed>> {
    let mut revealed = Vec::new();
    let (mut command, mut matches, mut path) = (plain, asked, Vec::new());
    loop {
        for secret in command.get_arguments().filter_map(|arg| setting(&path, arg)).filter(|it| it.is_secret()) {
            let Some(file) = command.get_arguments().find(|arg| arg.get_long() == Some(&counterpart(&secret.key)))
            else {
                continue;
            };
            let Some(file) = setting(&path, file) else { continue };
            let (from, instead) = (Source::of(&file, matches, layer), Source::of(&secret, matches, layer));
            if from.rank() == 0 || from.rank() < instead.rank() {
                continue;
            }
            if from.rank() == instead.rank() {
                let message = format!("--{} ({instead}) and --{} ({from}): only one of them", secret.key, file.key);
                return Err(UsageError::new(message).into());
            }
            let Some(name) = matches.get_one::<PathBuf>(file.arg.get_id().as_str()) else { continue };
            revealed.push(Revealed {
                content: read(name, &file.key, &from)?,
                section: secret.section,
                key: secret.key,
                source: from,
                file: name.clone(),
            });
        }
        let Some((name, below)) = matches.subcommand() else { return Ok(revealed) };
        let Some(verb) = command.find_subcommand(name) else { return Ok(revealed) };
        (command, matches) = (verb, below);
        path.push(verb.get_name());
    }
}

fn read(name: &PathBuf, key: &str, from: &Source) -> Result<String, UsageError> {
    let wrong = |why: String| UsageError::new(format!("--{key} ({from}): {} {why}", name.display()));
    let text = fs::read_to_string(name).map_err(|error| wrong(format!("can not be read: {error}")))?;
    // Editors and `echo` end a file with a line break, which is not part of the secret.
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() { Err(wrong("is empty".to_owned())) } else { Ok(text.to_owned()) }
}

/// Makes the secrets the values of their options, in place of sources with a lower rank.
pub(crate) fn apply(command: Command, revealed: &[Revealed]) -> Command {
    apply_at(command, &[], revealed)
}

fn apply_at(command: Command, path: &[&str], revealed: &[Revealed]) -> Command {
    let command = command.mut_args(|arg| {
        let found = setting(path, &arg)
            .and_then(|it| revealed.iter().find(|secret| secret.section == it.section && secret.key == it.key));
        match found {
            Some(secret) => arg.env(None::<&str>).default_value(secret.content.clone()).required(false),
            None => arg,
        }
    });
    command.mut_subcommands(|verb| {
        let name = verb.get_name().to_owned();
        let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        apply_at(verb, &path, revealed)
    })
}

/// The part of a secret that may be shown: the host and path of a URL, nothing of anything else.
pub(crate) fn redacted(secret: &str) -> String {
    let url = || {
        let (scheme, rest) = secret.split_once("://")?;
        // A password may contain any character, so everything before the last @ is hidden.
        let (user, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => match credentials.split_once(':') {
                Some((user, _)) => (format!("{user}:***@"), place),
                None => ("***@".to_owned(), place),
            },
            None => (String::new(), rest),
        };
        let place = place.split(['?', '#']).next().unwrap_or_default();
        let port = place.split('/').next().and_then(|host| host.rsplit_once(':')).map(|(_, port)| port);
        if user.contains('/') || port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return None;
        }
        Some(format!("{scheme}://{user}{place}"))
    };
    url().unwrap_or_else(|| "(hidden)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_and_path_of_a_secret_are_shown() {
        for (secret, shown) in [
            (
                "postgres://ops:hunter2@db.example:5432/ops?sslmode=require&password=x",
                "postgres://ops:***@db.example:5432/ops",
            ),
            ("postgres://ops:hunt@er/2@db/ops", "postgres://ops:***@db/ops"),
            ("postgres://hunter2@db/ops", "postgres://***@db/ops"),
            ("postgres://db/ops?password=hunter2", "postgres://db/ops"),
            ("postgres://ops:hunter2", "(hidden)"),
            ("hunter2", "(hidden)"),
            ("", "(hidden)"),
        ] {
            assert_eq!(redacted(secret), shown, "{secret}");
        }
    }
}
