//! `ops config show`

use std::{ffi::OsString, fmt::Write as _, path::Path};

use anyhow::Result;
use serde_json::{Value, json};

use super::sections::sections;
use crate::{
    args::config::SettingsFormat,
    config::{self, Effective, Kind, Source},
    exit::Exit,
    output::{
        self,
        table::{self, Cell, Tone},
    },
};

pub(super) fn execute(
    file: Option<&Path>,
    section: Option<&str>,
    args: &[OsString],
    format: SettingsFormat,
) -> Result<Exit> {
    let sections = section.map_or_else(sections, |it| vec![it.to_owned()]);
    let mut found: Vec<Effective> = Vec::new();
    for section in sections {
        let (_, origins) = config::of_section(&section, file, args)?;
        // A setting of every command is shown once.
        let is_new = |it: &Effective| !found.iter().any(|known| known.setting.name() == it.setting.name());
        let new: Vec<_> = origins.0.into_iter().filter(is_new).collect();
        found.extend(new);
    }
    output::print(match format {
        SettingsFormat::Table => table::table(&["SETTING", "VALUE", "FROM"], &[], found.iter().map(row)),
        SettingsFormat::Json => {
            let settings: Vec<_> = found.iter().map(as_json).collect();
            serde_json::to_string_pretty(&json!({ "file": file, "settings": settings }))? + "\n"
        }
        SettingsFormat::Toml => as_toml(&found),
    })?;
    Ok(Exit::Success)
}

/// The values to show. Secrets are redacted, also in the URL of a setting that is no secret.
fn shown(effective: &Effective) -> Vec<String> {
    let is_url = |it: &str| it.contains("://") || effective.setting.key == "server";
    let is_secret = |it: &str| effective.setting.is_secret() || (is_url(it) && it.contains('@'));
    effective.values.iter().map(|it| if is_secret(it) { config::redacted(it) } else { it.clone() }).collect()
}

fn row(effective: &Effective) -> Vec<Cell> {
    let from = effective.source.to_string();
    let tone = match effective.source {
        Source::Unset | Source::Default => Tone::Quiet,
        _ => Tone::Good,
    };
    vec![Cell::text(&effective.setting.name()), Cell::text(&shown(effective).join(",")), Cell::coloured(&from, tone)]
}

fn as_json(effective: &Effective) -> Value {
    let Effective { setting, source, .. } = effective;
    let values: Vec<Value> = shown(effective).into_iter().map(|value| typed(setting.kind(), value)).collect();
    let value = if setting.is_list() { Value::Array(values) } else { values.into_iter().next().unwrap_or_default() };
    json!({
        "section": setting.section,
        "key": setting.key,
        "value": value,
        "secret": setting.is_secret(),
        "environment": setting.env(),
        "source": source_as_json(source),
    })
}

fn source_as_json(source: &Source) -> Value {
    match source {
        Source::Unset => json!({ "kind": "unset" }),
        Source::Default => json!({ "kind": "default" }),
        Source::File { path, line } => json!({ "kind": "file", "path": path, "line": line }),
        Source::Environment(name) => json!({ "kind": "environment", "name": name }),
        Source::Flag(flag) => json!({ "kind": "flag", "name": flag }),
        Source::Secret(named) => json!({ "kind": "secret-file", "named-by": source_as_json(named) }),
    }
}

fn typed(kind: Kind, value: String) -> Value {
    match kind {
        Kind::Switch | Kind::Integer | Kind::Float => serde_json::from_str(&value).unwrap_or(Value::String(value)),
        Kind::Text | Kind::Other => Value::String(value),
    }
}

/// A configuration file with the settings in force. Unset settings and secrets are comments.
fn as_toml(found: &[Effective]) -> String {
    let mut text = String::new();
    let mut section = "";
    for effective in found {
        let Effective { setting, source, .. } = effective;
        if setting.section != section {
            section = &setting.section;
            // Writing to a String can not fail.
            let _ = writeln!(text, "{}[{section}]", if text.is_empty() { "" } else { "\n" });
        }
        let key = &setting.key;
        let mut value = as_json(effective)["value"].take();
        if let Some(path) = value.as_str().filter(|_| setting.is_path()) {
            // The user may save this file in another folder.
            value = json!(std::path::absolute(path).unwrap_or_else(|_| path.into()));
        }
        let _ = match value {
            Value::Null => writeln!(text, "# {key}: {source}"),
            value if setting.is_secret() => writeln!(text, "# {key} = {value}  # {source}"),
            // Strings, and lists of them, are the same in TOML and JSON.
            value => writeln!(text, "{key} = {value}  # {source}"),
        };
    }
    text
}
