//! Resolves the settings of a command: flag, else environment, else file, else default.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Result;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

use super::{
    check,
    explain::explain,
    layer::Layer,
    origins::{Effective, Origins},
    secret::{self, Revealed},
    settings::{CLIENT, setting, settings},
    source::Source,
};
use crate::{args::Cli, output::colour::When};

/// The complete command line.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) cli: Cli,
    pub(crate) origins: Origins,
}

/// The names of a file's sections.
pub(crate) fn sections_of(file: &Path) -> Result<Vec<String>> {
    let layer = check::read(file, &settings(&command()))?;
    Ok(layer.sections)
}

/// The command line, with an option for the file of each secret.
pub(crate) fn command() -> Command {
    secret::with_files(Cli::command())
}

/// The configuration from these arguments, the environment, and the file that an argument or the environment names.
pub(crate) fn load(args: &[OsString]) -> Result<Loaded> {
    let plain = command().color(colour(args).into());
    if let Err(error) = plain.clone().try_get_matches_from(args)
        && !error.use_stderr()
    {
        // Help and version show the built-in defaults, not those of a file.
        return Err(error.into());
    }
    let asked = plain.clone().ignore_errors(true).try_get_matches_from(args)?;
    let layer = match (asked.subcommand_name(), asked.get_one::<PathBuf>("config")) {
        // These commands read the file themselves, or need none.
        (Some("config" | "completions" | "man"), _) | (_, None) => Layer::default(),
        (_, Some(path)) => check::read(path, &settings(&plain))?,
    };
    let (matches, origins, revealed) = parse(plain, &layer, args)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    if let Some(url) = revealed.into_iter().find(|secret| secret.key == "database-url") {
        cli.remember_url_file(url.file);
    }
    Ok(Loaded { cli, origins })
}

/// The colour setting in the arguments, also if they ask for help.
fn colour(args: &[OsString]) -> When {
    let is_question = |arg: &&OsString| !["-h", "--help", "-V", "--version"].iter().any(|it| *it == **arg);
    let matches = command().ignore_errors(true).try_get_matches_from(args.iter().filter(is_question));
    matches.ok().and_then(|matches| matches.get_one("color").copied()).unwrap_or_default()
}

/// The configuration of a section's command from these arguments, the environment and this file. If a required setting
/// is missing, there is no command line, only the settings.
pub(crate) fn of_section(section: &str, file: Option<&Path>, args: &[OsString]) -> Result<(Option<Cli>, Origins)> {
    let plain = command();
    let layer = match file {
        Some(path) => check::read(path, &settings(&plain))?,
        None => Layer::default(),
    };
    let verb = if section == CLIENT { "session" } else { section };
    let line: Vec<OsString> = ["ops", verb].map(OsString::from).into_iter().chain(args.iter().cloned()).collect();
    let lenient = plain.mut_subcommand(verb, |it| {
        it.mut_args(|arg| arg.required(false)).subcommand_required(false).arg_required_else_help(false)
    });
    let (matches, mut origins, _) = parse(lenient, &layer, &line)?;
    let strict = settings(&command());
    for effective in &mut origins.0 {
        let name = effective.setting.name();
        effective.is_required = strict.iter().any(|it| it.name() == name && it.arg.is_required_set());
    }
    Ok((Cli::from_arg_matches(&matches).ok(), origins))
}

fn parse(plain: Command, layer: &Layer, args: &[OsString]) -> Result<(ArgMatches, Origins, Vec<Revealed>)> {
    let layered = layer.apply(plain.clone());
    let asked = layered.clone().ignore_errors(true).try_get_matches_from(args)?;
    let revealed = secret::reveal(&plain, &asked, layer)?;
    let matches = secret::apply(layered, &revealed).try_get_matches_from(args);
    let matches = matches.map_err(|error| explain(error, &plain, args))?;
    let origins = Origins(effective(&plain, &matches, layer, &revealed));
    Ok((matches, origins, revealed))
}

fn effective(plain: &Command, matches: &ArgMatches, layer: &Layer, revealed: &[Revealed]) -> Vec<Effective> {
    let mut found = Vec::new();
    let (mut command, mut matches, mut path) = (plain, matches, Vec::new());
    loop {
        for setting in command.get_arguments().filter_map(|arg| setting(&path, arg)) {
            let secret = revealed.iter().find(|it| it.section == setting.section && it.key == setting.key);
            let source = match secret {
                Some(secret) => Source::Secret(Box::new(secret.source.clone())),
                None => Source::of(&setting, matches, layer),
            };
            let values = matches.get_raw(setting.arg.get_id().as_str()).into_iter().flatten();
            let values = values.map(|value| value.to_string_lossy().into_owned()).collect();
            let is_required = setting.arg.is_required_set();
            found.push(Effective { setting, values, source, is_required });
        }
        let Some((name, below)) = matches.subcommand() else { return found };
        let Some(verb) = command.find_subcommand(name) else { return found };
        (command, matches) = (verb, below);
        path.push(verb.get_name());
    }
}
