//! A configuration file as text: each key with its line.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Wrong};

/// The largest configuration file, in bytes. A longer file was named by mistake.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// A file that is TOML.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) path: PathBuf,
    /// The tables, with their lines.
    pub(crate) sections: Vec<(String, usize)>,
    pub(crate) entries: Vec<Entry>,
}

/// A key and its value. Before the first table the section is empty.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) section: String,
    pub(crate) key: String,
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// A value. Numbers are in decimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Integer(String),
    Float(String),
    Switch(bool),
    List(Vec<Value>),
    /// A type that no setting takes, by its name in TOML.
    Strange(&'static str),
}

impl Document {
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let whole = |what: String| ConfigError::whole(path.to_owned(), what);
        let mut text = String::new();
        let file = File::open(path).map_err(|error| whole(format!("can not be read: {error}")))?;
        file.take(SIZE_LIMIT + 1)
            .read_to_string(&mut text)
            .map_err(|error| whole(format!("can not be read: {error}")))?;
        if text.len() as u64 > SIZE_LIMIT {
            return Err(whole(format!("is longer than {SIZE_LIMIT} bytes, too long for a configuration")));
        }
        Self::parse(path, &text)
    }

    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let line = |offset: usize| text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1;
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            // Only the message, because TOML's own report quotes the text, which may be a secret.
            let wrong = errors.iter().map(|error| Wrong {
                line: error.span().map(|span| line(span.start)),
                what: format!("is not TOML: {}", error.message()),
            });
            return Err(ConfigError { path: path.to_owned(), wrong: wrong.collect() });
        }
        let mut document = Self { path: path.to_owned(), sections: Vec::new(), entries: Vec::new() };
        for (key, value) in root.into_inner() {
            let (name, at) = (key.get_ref().to_string(), line(key.span().start));
            match value.into_inner() {
                DeValue::Table(table) => {
                    document.entries.extend(table.into_iter().map(|(key, value)| Entry {
                        section: name.clone(),
                        key: key.get_ref().to_string(),
                        line: line(key.span().start),
                        value: read(value.get_ref()),
                    }));
                    document.sections.push((name, at));
                }
                value => {
                    document.entries.push(Entry { section: String::new(), key: name, line: at, value: read(&value) });
                }
            }
        }
        document.sections.sort_by_key(|(_, line)| *line);
        document.entries.sort_by_key(|entry| entry.line);
        Ok(document)
    }
}

fn read(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number.to_string()),
            // Too large for every setting. The setting's parser says so.
            Err(_) => Value::Integer(number.as_str().to_owned()),
        },
        DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
        DeValue::Boolean(on) => Value::Switch(*on),
        DeValue::Array(items) => Value::List(items.iter().map(|item| read(item.get_ref())).collect()),
        DeValue::Datetime(_) => Value::Strange("a date"),
        DeValue::Table(_) => Value::Strange("a table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_line_and_its_section() {
        let text = "color = \"never\"\n\n[serve]\nlisten = \"h:1\" # here\nmax-event-bytes = 0x1_0\n\n[worker]\nlanes = [\n\"A\"]\n";
        let document = Document::parse(Path::new("f"), text).unwrap();
        let found: Vec<_> = document.entries.iter().map(|it| (it.section.as_str(), it.key.as_str(), it.line)).collect();
        let expected =
            [("", "color", 1), ("serve", "listen", 4), ("serve", "max-event-bytes", 5), ("worker", "lanes", 8)];
        assert_eq!(found, expected);
        assert_eq!(document.entries[2].value, Value::Integer("16".to_owned()));
        assert_eq!(document.entries[3].value, Value::List(vec![Value::Text("A".to_owned())]));
        assert_eq!(document.sections, [("serve".to_owned(), 3), ("worker".to_owned(), 7)]);
    }

    #[test]
    fn an_error_in_toml_names_its_line_and_quotes_nothing() {
        let text = "a = 1\nb = \nc = hunter2\na = 2\n";
        let error = Document::parse(Path::new("f.toml"), text).unwrap_err().to_string();
        for line in ["f.toml:2: is not TOML", "f.toml:3: is not TOML", "f.toml:4: is not TOML"] {
            assert!(error.contains(line), "{line}: {error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
    }
}
