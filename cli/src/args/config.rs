//! `ops config ...`

use std::ffi::OsString;

use clap::{Args, Subcommand, ValueEnum};

/// Checks the configuration file, and shows the settings in force.
#[derive(Args, Debug)]
#[command(after_help = "\
--config or OPS_CONFIG names the file; there is no default place. Its sections are the commands, and [client] for \
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
    /// Print all mistakes in the file, and in the settings of a command
    Check {
        /// Check the settings of this command, with all it requires [default: the commands with a section in the file]
        #[arg(value_name = "COMMAND")]
        section: Option<String>,
        /// Flags of that command, as on its command line
        #[arg(last = true, requires = "section", value_name = "FLAGS")]
        args: Vec<OsString>,
    },
    /// Print every setting, its value and its source; secrets are hidden
    Show {
        /// serve, worker, dev, ..., or client for the operator's verbs [default: all of them]
        #[arg(value_name = "COMMAND")]
        section: Option<String>,
        /// What to print: a table, JSON, or a configuration file with the settings in force
        #[arg(short, long, value_enum, default_value_t = SettingsFormat::Table)]
        output: SettingsFormat,
        /// Flags of that command, as on its command line
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
