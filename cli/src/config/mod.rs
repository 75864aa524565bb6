//! The configuration: command line, environment, file and defaults, in this order.
//!
//! `settings` finds the settings in clap's description of the command line, so every new flag is also a key of the
//! file. [`document`] reads TOML, [`check`] compares it with the settings, [`layer`] places its values below flags and
//! environment, [`secret`] reads secrets from files of their own, [`source`] and [`origins`] say where each value comes
//! from, `explain` adds that to clap's errors, and `load` does all of it in order.

mod check;
mod document;
mod error;
mod explain;
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
pub(crate) use suggest::suggestion;
