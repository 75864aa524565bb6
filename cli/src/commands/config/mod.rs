//! `ops config ...`

use std::path::Path;

use anyhow::Result;

use crate::{
    args::config::{ConfigArgs, ConfigVerb},
    config::{self, settings},
    errors::UsageError,
    exit::Exit,
};

mod check;
mod show;

pub(crate) fn execute(args: &ConfigArgs, file: Option<&Path>) -> Result<Exit> {
    match &args.verb {
        ConfigVerb::Check { section, args } => {
            check::execute(file, section.as_deref().map(known).transpose()?.as_deref(), args)
        }
        ConfigVerb::Show { section, output, args } => {
            show::execute(file, section.as_deref().map(known).transpose()?.as_deref(), args, *output)
        }
    }
}

/// The sections, in the order of the commands.
fn sections() -> Vec<String> {
    let mut sections: Vec<String> = Vec::new();
    for setting in settings(&config::command()) {
        if !setting.section.is_empty() && !sections.contains(&setting.section) {
            sections.push(setting.section);
        }
    }
    sections
}

fn known(section: &str) -> Result<String> {
    let sections = sections();
    if sections.iter().any(|it| it == section) {
        return Ok(section.to_owned());
    }
    let hint = config::hint(section, sections.iter().map(String::as_str));
    let told = format!("`{section}` has no settings{hint} (those that have are {})", sections.join(", "));
    Err(UsageError::new(told).into())
}
