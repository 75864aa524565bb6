//! `ops config ...`

use std::path::Path;

use anyhow::Result;

use crate::{
    args::config::{ConfigArgs, ConfigVerb},
    exit::Exit,
};

mod check;
mod sections;
mod show;

use sections::known;

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
