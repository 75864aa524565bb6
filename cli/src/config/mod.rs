//! The configuration: the command line, and beneath it the environment, a file, and the defaults.
//!
//! `settings` finds the settings in clap's own description of the command line, so that a flag that is added there is at
//! once a key of the file. [`document`] reads TOML, [`check`] holds it against the settings, [`layer`] puts what it says
//! beneath flags and environment, [`secret`] takes secrets from files of their own, and `load` does all of it in order.

mod check;
mod document;
mod error;
mod layer;
mod load;
mod origins;
mod secret;
mod settings;
mod source;
mod suggest;

#[cfg(test)]
mod reference;

pub(crate) use error::ConfigError;
pub(crate) use load::{Loaded, command, load, of_section, sections_of};
pub(crate) use origins::{Effective, Origins};
pub(crate) use secret::redacted;
pub(crate) use settings::{CLIENT, Kind, settings};
pub(crate) use source::Source;
pub(crate) use suggest::hint;
