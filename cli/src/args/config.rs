//! `ops config ...`

use std::ffi::OsString;

use clap::{Args, Subcommand, ValueEnum};

/// The configuration file: what is wrong with it, and what is in force.
#[derive(Args, Debug)]
#[command(after_help = "\
The file is the one that --config or OPS_CONFIG names; none is looked for. Its sections are the commands, and [client] for \
the operator's verbs; its keys are the flags without dashes. A key before the first section holds for every command that \
has this flag. A flag wins over its environment variable, that over the file, and the file over the default.

Example:
  database-url-file = \"/run/secrets/ops-database\"

  [serve]
  listen = \"10.0.0.5:7070\"
  insecure = true
  lease-timeout = \"45s\"

  [client]
  server = \"http://10.0.0.5:7070\"")]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) verb: ConfigVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Say all that is wrong with the file, and with what a command would be told
    Check {
        /// Check as if this was started: what it needs must be there [default: what the file has sections for]
        #[arg(value_name = "COMMAND")]
        section: Option<String>,
        /// Flags of that command, as if it was started with them
        #[arg(last = true, requires = "section", value_name = "FLAGS")]
        args: Vec<OsString>,
    },
    /// Print every setting, its value and where it comes from; secrets are hidden
    Show {
        /// serve, worker, dev, ..., or client for the operator's verbs [default: all of them]
        #[arg(value_name = "COMMAND")]
        section: Option<String>,
        /// What to print: for people, for programs, or a file with what is in force
        #[arg(short, long, value_enum, default_value_t = SettingsFormat::Table)]
        output: SettingsFormat,
        /// Flags of that command, as if it was started with them
        #[arg(last = true, requires = "section", value_name = "FLAGS")]
        args: Vec<OsString>,
    },
}

/// How settings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SettingsFormat {
    Table,
    Json,
    Toml,
}
