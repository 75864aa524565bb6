//! `ops config check`

use std::{ffi::OsString, path::Path};

use anyhow::Result;

use super::sections::sections;
use crate::{
    args::{Cli, Command},
    config,
    errors::UsageError,
    exit::Exit,
    output,
};

/// Checks the file, and then the settings of a command, or of all commands with a section in the file.
pub(super) fn execute(file: Option<&Path>, section: Option<&str>, args: &[OsString]) -> Result<Exit> {
    let Some(section) = section else {
        let Some(file) = file else {
            return Err(UsageError::new("no file: name one with --config or OPS_CONFIG, or a command to check").into());
        };
        let written = config::sections_of(file)?;
        let sections = sections().into_iter().filter(|it| written.contains(it));
        let wrong = sections.map(|it| wrong(&it, Some(file), args, false));
        return tell(wrong.collect::<Result<Vec<_>>>()?.concat(), &format!("{} can be used", file.display()));
    };
    tell(wrong(section, file, args, true)?, &format!("`ops {section}` can be started with this"))
}

fn tell(wrong: Vec<String>, right: &str) -> Result<Exit> {
    if wrong.is_empty() {
        output::tell(right);
        return Ok(Exit::Success);
    }
    Err(UsageError::new(format!("the configuration can not be used\n  {}", wrong.join("\n  "))).into())
}

/// All mistakes in the settings of a command that the command line shows.
fn wrong(section: &str, file: Option<&Path>, args: &[OsString], must_be_complete: bool) -> Result<Vec<String>> {
    let (cli, origins) = config::of_section(section, file, args)?;
    let name = if section == config::CLIENT { "the operator's verbs".to_owned() } else { format!("`ops {section}`") };
    let missing: Vec<String> = origins.missing().map(|key| format!("{name}: --{key} is set nowhere")).collect();
    if !missing.is_empty() {
        return Ok(if must_be_complete { missing } else { Vec::new() });
    }
    let Some(cli) = cli else { return Ok(Vec::new()) };
    Ok(refusals(&cli).iter().flat_map(|refusal| refusal.lines(&origins)).map(|it| format!("{name}: {it}")).collect())
}

/// The errors that the command itself reports before it starts.
fn refusals(cli: &Cli) -> Vec<UsageError> {
    let results = match &cli.command {
        Command::Dev(args) => vec![args.listen.address().map(drop)],
        Command::Serve(args) => vec![args.listen.address().map(drop), args.config().map(drop)],
        Command::Migrate(args) => vec![args.config().map(drop)],
        Command::Worker(args) => vec![args.run.worker().map(drop)],
        _ => Vec::new(),
    };
    results.into_iter().filter_map(Result::err).collect()
}
