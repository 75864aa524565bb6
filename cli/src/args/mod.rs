//! The command line. Everything on it is parsed and checked here, before the program opens or binds anything.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(crate) mod config;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod limits;
pub(crate) mod listen;
pub(crate) mod migrate;
pub(crate) mod serve;
pub(crate) mod transport;

pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod worker;

pub(crate) mod shell;
pub(crate) mod target;
pub(crate) mod traces;
pub(crate) mod values;

use crate::output::colour::When;

/// Ops Control Room: services enqueue runs, workers execute them, operators watch. One program over one PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "ops", version, max_term_width = 110)]
#[command(after_help = format!("\
Start with `ops dev --demo`: a server with a database and a worker of its own, and a demonstration. When something is wrong with a \
server or its database, `ops doctor` says what.
Logging: OPS_LOG holds the filter, such as `info` or `server=debug`; it goes to standard error, as JSON if that is no terminal.

{}", crate::exit::TABLE))]
pub(crate) struct Cli {
    /// A configuration file in TOML; `ops config --help` says more
    #[arg(long, global = true, env = "OPS_CONFIG", value_name = "FILE", help_heading = "Everywhere")]
    pub(crate) config: Option<PathBuf>,
    /// When to use colour [default: on a terminal, unless NO_COLOR is set]
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = When::Auto, help_heading = "Everywhere")]
    #[arg(hide_default_value = true)]
    pub(crate) color: When,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The database's URL came from this file, which may hold another one later.
    pub(crate) fn remember_url_file(&mut self, file: PathBuf) {
        if let Command::Serve(args) = &mut self.command {
            args.database_url_file = Some(file);
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one process, for development: a database, the server, and a worker
    Dev(dev::DevArgs),
    /// Run a server on a PostgreSQL database
    Serve(Box<serve::ServeArgs>),
    /// Bring the database to this version's schema
    Migrate(migrate::MigrateArgs),
    /// Run a worker, or list, drain and undrain workers
    Worker(worker::WorkerArgs),
    /// Create, list, close and cancel sessions
    Session(session::SessionArgs),
    /// Enqueue, watch and cancel runs
    Run(run::RunArgs),
    /// Examine a database and servers: what is wrong, why it matters, how to mend it
    Doctor(doctor::DoctorArgs),
    /// Check the configuration file, and show which settings are in force
    Config(config::ConfigArgs),
    /// Print the completion script for a shell
    Completions(shell::CompletionsArgs),
    /// Print the manual, or write a page for each command
    Man(shell::ManArgs),
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::{run::RunVerb, target::Target, *};

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    fn refused(line: &str) -> ErrorKind {
        parse(line).map(|cli| format!("{cli:?}")).unwrap_err().kind()
    }

    fn server(target: &Target) -> String {
        target.server.to_string()
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_server_may_be_named_before_or_after_the_verb() {
        for line in ["ops run --server h:1 get 0190 -o json", "ops run -o json get 0190 --server h:1"] {
            let Command::Run(run) = parse(line).unwrap().command else { panic!("{line}") };
            assert_eq!((server(&run.target).as_str(), run.output.output), ("http://h:1", crate::output::Format::Json));
        }
    }

    #[test]
    fn a_run_needs_a_session_a_lane_and_something_to_do() {
        assert!(parse("ops run enqueue --session s --lane a --kind k --params {}").is_ok());
        assert!(parse("ops run enqueue --new-session n --lane D -- sort -n file").is_ok());
        assert_eq!(refused("ops run enqueue --lane A --kind k"), ErrorKind::MissingRequiredArgument);
        assert_eq!(refused("ops run enqueue --session s --kind k"), ErrorKind::MissingRequiredArgument);
        assert_eq!(refused("ops run enqueue --session s --lane A"), ErrorKind::MissingRequiredArgument);
        assert_eq!(
            refused("ops run enqueue --session s --new-session n --lane A --kind k"),
            ErrorKind::ArgumentConflict
        );
        assert_eq!(refused("ops run enqueue --session s --lane A --kind k -- ls"), ErrorKind::ArgumentConflict);
        assert_eq!(refused("ops run enqueue --session s --lane A --params {} -- ls"), ErrorKind::ArgumentConflict);
        assert_eq!(refused("ops run enqueue --session s --lane E --kind k"), ErrorKind::InvalidValue);
        assert_eq!(refused("ops run enqueue --session s --lane A --kind k --params {"), ErrorKind::ValueValidation);
    }

    #[test]
    fn what_follows_two_dashes_is_the_command() {
        let cli = parse("ops run enqueue --session s --lane B --priority -3 -- grep -r --wait x").unwrap();
        let Command::Run(run::RunArgs { verb: RunVerb::Enqueue(enqueue), .. }) = cli.command else { panic!() };
        assert_eq!(enqueue.command, ["grep", "-r", "--wait", "x"]);
        assert_eq!((enqueue.priority, enqueue.wait), (-3, false));
    }

    #[test]
    fn a_watch_is_of_one_run_or_of_a_filter() {
        assert!(parse("ops run watch 0190").is_ok());
        assert!(parse("ops run watch --lane A,b --status running --label a=b --snapshot").is_ok());
        assert_eq!(refused("ops run watch 0190 --lane A"), ErrorKind::ArgumentConflict);
        assert_eq!(refused("ops run watch --snapshot --resume-token t"), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn worker_runs_one_unless_a_verb_follows() {
        let worker = |line: &str| match parse(line).unwrap().command {
            Command::Worker(worker) => worker,
            other => panic!("{other:?}"),
        };
        assert!(worker("ops worker").verb.is_none());
        assert_eq!(worker("ops worker --lanes A,c --slots 2").run.lanes, [values::Lane::A, values::Lane::C]);
        assert!(worker("ops worker list --server h:1 -o jsonl --state lost,gone").verb.is_some());
        assert!(worker("ops worker drain 0190").verb.is_some());
        assert!(worker("ops worker undrain 0190").verb.is_some());
        assert_eq!(refused("ops worker --slots 0"), ErrorKind::ValueValidation);
        assert!(parse("ops worker --slots 2 list").is_err());
    }

    #[test]
    fn only_dev_with_a_demonstration_can_stop_by_itself() {
        assert!(parse("ops dev --demo --once").is_ok());
        assert_eq!(refused("ops dev --once"), ErrorKind::MissingRequiredArgument);
    }
}
