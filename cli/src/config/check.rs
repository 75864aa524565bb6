//! Compares a file with the settings: returns all its mistakes, or its values.

use std::{error::Error as _, path::Path};

use clap::{
    Arg, Command,
    error::{ContextKind, ContextValue},
};

use super::{
    document::{Document, Entry, Value},
    error::{ConfigError, Wrong},
    layer::{Given, Layer},
    settings::{Kind, Setting},
    suggest,
};

/// Reads a file, and checks it against the settings.
pub(crate) fn read(path: &Path, settings: &[Setting]) -> Result<Layer, ConfigError> {
    check(Document::read(path)?, settings)
}

/// The values of the file, if all of them are valid. One wrong section makes the whole file invalid, because half a
/// configuration is worse than none.
fn check(document: Document, settings: &[Setting]) -> Result<Layer, ConfigError> {
    let mut wrong: Vec<Wrong> = document.sections.iter().filter_map(|it| strange_section(it, settings)).collect();
    let mut given = Vec::new();
    let folder = document.path.parent().unwrap_or(Path::new(""));
    for entry in &document.entries {
        if !entry.section.is_empty() && !settings.iter().any(|it| it.section == entry.section) {
            continue;
        }
        match meant(entry, settings).and_then(|meant| values(entry, &meant, folder)) {
            Ok(raw) => {
                let Entry { section, key, line, .. } = entry;
                given.push(Given { section: section.clone(), key: key.clone(), line: *line, raw });
            }
            Err(what) => wrong.push(Wrong::at(entry.line, what)),
        }
    }
    wrong.sort();
    if wrong.is_empty() {
        let sections = document.sections.into_iter().map(|(name, _)| name).collect();
        Ok(Layer { path: document.path, sections, given })
    } else {
        Err(ConfigError { path: document.path, wrong })
    }
}

fn strange_section((name, line): &(String, usize), settings: &[Setting]) -> Option<Wrong> {
    let sections = sections(settings);
    if sections.contains(&name.as_str()) {
        return None;
    }
    let suggestion = suggest::suggestion(name, sections.iter().copied());
    let known = sections.iter().map(|it| format!("[{it}]")).collect::<Vec<_>>().join(", ");
    Some(Wrong::at(*line, format!("[{name}]: unknown section{suggestion} (there are {known})")))
}

fn sections(settings: &[Setting]) -> Vec<&str> {
    let mut sections: Vec<&str> = Vec::new();
    for setting in settings.iter().filter(|it| !it.section.is_empty()) {
        if !sections.contains(&setting.section.as_str()) {
            sections.push(&setting.section);
        }
    }
    sections
}

/// The settings that an entry sets: one within a section, all of that name before the first section.
fn meant<'a>(entry: &Entry, settings: &'a [Setting]) -> Result<Vec<&'a Setting>, String> {
    let may = |setting: &&Setting| entry.section.is_empty() || setting.section == entry.section;
    let meant: Vec<_> = settings.iter().filter(may).filter(|it| it.key == entry.key).collect();
    if !meant.is_empty() {
        return Ok(meant);
    }
    let place = if entry.section.is_empty() { String::new() } else { format!("{}.", entry.section) };
    let elsewhere: Vec<_> = settings.iter().filter(|it| it.key == entry.key).map(place_of).collect();
    let suggestion = if elsewhere.is_empty() {
        suggest::suggestion(&entry.key, settings.iter().filter(may).map(|it| it.key.as_str()))
    } else {
        format!("; it belongs in {}", elsewhere.join(" or "))
    };
    Err(format!("{place}{}: unknown key{suggestion}", entry.key))
}

fn place_of(setting: &Setting) -> String {
    if setting.section.is_empty() { "the top of the file".to_owned() } else { format!("[{}]", setting.section) }
}

/// The values as the command line would have them.
fn values(entry: &Entry, meant: &[&Setting], folder: &Path) -> Result<Vec<String>, String> {
    let mut values = Vec::new();
    for setting in meant {
        values = read_as(&entry.value, setting, folder).map_err(|what| {
            let also = if entry.section.is_empty() && !setting.section.is_empty() {
                format!(" (for [{}])", setting.section)
            } else {
                String::new()
            };
            let place = if entry.section.is_empty() { entry.key.clone() } else { setting.name() };
            format!("{place}{also}: {what}")
        })?;
    }
    Ok(values)
}

fn read_as(value: &Value, setting: &Setting, folder: &Path) -> Result<Vec<String>, String> {
    match value {
        Value::List(items) if setting.is_list() => {
            items.iter().map(|item| read_one(item, setting, folder)).collect::<Result<Vec<_>, _>>()
        }
        Value::Text(text) if setting.is_list() => match setting.arg.get_value_delimiter() {
            Some(delimiter) => text
                .split(delimiter)
                .map(|item| read_one(&Value::Text(item.to_owned()), setting, folder))
                .collect::<Result<Vec<_>, _>>(),
            None => Ok(vec![read_one(value, setting, folder)?]),
        },
        value => Ok(vec![read_one(value, setting, folder)?]),
    }
}

fn read_one(value: &Value, setting: &Setting, folder: &Path) -> Result<String, String> {
    let raw = match (setting.kind(), value) {
        (Kind::Switch, Value::Switch(on)) => return Ok(on.to_string()),
        (Kind::Integer | Kind::Float | Kind::Other, Value::Integer(number)) => number.clone(),
        (Kind::Float | Kind::Other, Value::Float(number)) => number.clone(),
        (Kind::Text, Value::Text(text)) if setting.is_path() && !text.is_empty() => {
            folder.join(text).display().to_string()
        }
        (Kind::Text | Kind::Other, Value::Text(text)) => text.clone(),
        (kind, value) => return Err(format!("expected {}, got {}", expected(kind), shown(value, setting))),
    };
    parse(setting, &raw).map_err(|why| match why.strip_prefix("expected ") {
        Some(_) => format!("{why}, got {}", shown(value, setting)),
        None => format!("expected {}, got {}: {why}", setting.value_name(), shown(value, setting)),
    })?;
    Ok(raw)
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Switch => "true or false",
        Kind::Integer => "an integer",
        Kind::Float => "a number",
        Kind::Text | Kind::Other => "a string",
    }
}

fn shown(value: &Value, setting: &Setting) -> String {
    match value {
        _ if setting.is_secret() => "something else (not shown, as it is a secret)".to_owned(),
        Value::Text(text) => format!("{text:?}"),
        Value::Integer(number) | Value::Float(number) => number.clone(),
        Value::Switch(on) => on.to_string(),
        Value::List(_) => "a list".to_owned(),
        Value::Strange(what) => (*what).to_owned(),
    }
}

/// Asks the option's own parser, on a command line of this one option.
fn parse(setting: &Setting, raw: &str) -> Result<(), String> {
    let option = Arg::new("value")
        .long("value")
        .value_parser(setting.arg.get_value_parser().clone())
        .ignore_case(setting.arg.is_ignore_case_set());
    let command = Command::new("check").no_binary_name(true).disable_help_flag(true).arg(option);
    let Err(error) = command.try_get_matches_from([format!("--value={raw}")]) else { return Ok(()) };
    if let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue)
        && !valid.is_empty()
    {
        let valid = valid.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
        return Err(format!("expected one of {valid}"));
    }
    Err(error.source().map_or_else(|| "a value is required".to_owned(), ToString::to_string))
}
