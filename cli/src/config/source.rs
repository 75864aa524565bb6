//! Where the value of a setting comes from: a flag, else the environment, else the file, else the default.

use std::{fmt, path::PathBuf};

use clap::{ArgMatches, parser::ValueSource};

use super::{layer::Layer, settings::Setting};

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Unset,
    Default,
    File {
        path: PathBuf,
        line: usize,
    },
    Environment(String),
    Flag(String),
    /// A file that holds only the secret. The source inside says where that file is named.
    Secret(Box<Source>),
}

impl Source {
    pub(crate) fn of(setting: &Setting, matches: &ArgMatches, layer: &Layer) -> Self {
        match matches.value_source(setting.arg.get_id().as_str()) {
            Some(ValueSource::CommandLine) => Self::Flag(format!("--{}", setting.key)),
            Some(ValueSource::EnvVariable) => Self::Environment(setting.env().unwrap_or_default().to_owned()),
            source => match layer.of(setting) {
                Some(given) => Self::File { path: layer.path.clone(), line: given.line },
                None if source.is_some() => Self::Default,
                None => Self::Unset,
            },
        }
    }

    /// The source with the higher rank wins. Rank 0 means that nobody chose the value.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Unset | Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment(_) => 2,
            Self::Flag(_) => 3,
            Self::Secret(named) => named.rank(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("not set"),
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
            Self::Secret(named) => write!(f, "the file named by {named}"),
        }
    }
}
