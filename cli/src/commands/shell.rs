//! `ops completions` and `ops man`, both from the description of the command line.

use std::fs;

use anyhow::{Context, Result};
use clap::Command;
use clap_complete::generate;
use clap_mangen::Man;

use crate::{
    args::shell::{CompletionsArgs, ManArgs},
    config,
    errors::UsageError,
    exit::Exit,
    output,
};

pub(crate) fn completions(args: &CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    generate(args.shell, &mut config::command(), "ops", &mut script);
    output::print(script)?;
    Ok(Exit::Success)
}

pub(crate) fn man(args: &ManArgs) -> Result<Exit> {
    // `ops help run` is `ops run --help`, and needs no page.
    let mut root = config::command().disable_help_subcommand(true);
    if let Some(folder) = &args.out {
        fs::create_dir_all(folder).with_context(|| format!("can not create the folder {}", folder.display()))?;
        clap_mangen::generate_to(root, folder).with_context(|| format!("can not write into {}", folder.display()))?;
        output::tell(format_args!("the manual is in {}", folder.display()));
        return Ok(Exit::Success);
    }
    // Gives the commands their full names. `generate_to` above does it itself.
    root.build();
    output::print(page(command(&root, &args.command)?)?)?;
    Ok(Exit::Success)
}

fn command<'a>(root: &'a Command, words: &[String]) -> Result<&'a Command, UsageError> {
    words.iter().try_fold(root, |command, word| {
        let verbs: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
        let suggestion = || config::suggestion(word, verbs.iter().copied());
        let unknown = || UsageError::new(format!("`{}` has no command `{word}`{}", full_name(command), suggestion()));
        command.find_subcommand(word).ok_or_else(unknown)
    })
}

fn full_name(command: &Command) -> String {
    command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}
