//! The sections of a configuration file.

use anyhow::Result;

use crate::{
    config::{self, settings},
    errors::UsageError,
};

/// The sections, in the order of the commands.
pub(super) fn sections() -> Vec<String> {
    let mut sections: Vec<String> = Vec::new();
    for setting in settings(&config::command()) {
        if !setting.section.is_empty() && !sections.contains(&setting.section) {
            sections.push(setting.section);
        }
    }
    sections
}

/// A section by its name.
pub(super) fn known(section: &str) -> Result<String> {
    let sections = sections();
    if sections.iter().any(|it| it == section) {
        return Ok(section.to_owned());
    }
    let suggestion = config::suggestion(section, sections.iter().map(String::as_str));
    let message = format!("`{section}` has no settings{suggestion} (those that have are {})", sections.join(", "));
    Err(UsageError::new(message).into())
}
