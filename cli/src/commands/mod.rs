//! The commands, each in a file of its own: first those that run something, then the operator's verbs.

use anyhow::Result;

use crate::{
    args::{Cli, Command},
    exit::Exit,
};

mod config;
mod dev;
mod doctor;
mod listener;
mod migrate;
mod serve;

mod pages;
mod run;
mod session;
mod shell;
mod worker;

/// Executes the command, and returns the exit status.
pub(crate) async fn execute(cli: Cli) -> Result<Exit> {
    match cli.command {
        Command::Dev(args) => dev::execute(args).await,
        Command::Serve(args) => serve::execute(*args).await,
        Command::Migrate(args) => migrate::execute(args).await,
        Command::Worker(args) => worker::execute(args).await,
        Command::Session(args) => session::execute(args).await,
        Command::Run(args) => run::execute(args).await,
        Command::Doctor(args) => doctor::execute(args).await,
        Command::Completions(args) => shell::completions(&args),
        Command::Man(args) => shell::man(&args),
        Command::Config(args) => config::execute(&args, cli.config.as_deref()),
    }
}
