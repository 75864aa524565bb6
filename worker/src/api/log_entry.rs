//! A line of a run's log.

use bytes::Bytes;
use serde_json::Value;

use crate::api::text;

/// The contract's limit for the content of one event, and for its data.
pub(crate) const MAX_CONTENT_BYTES: usize = 64 * 1024;

/// The level of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Details for debugging.
    Debug,
    /// A normal event.
    #[default]
    Info,
    /// A possible problem.
    Warn,
    /// An error.
    Error,
}

/// The content of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Text without NUL.
    Text(String),
    /// Any bytes, such as a program's output that is not UTF-8.
    Bytes(Bytes),
}

/// A line of a run's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its level.
    pub level: Level,
    /// Its content.
    pub content: Content,
    /// Its data, a JSON object as text; empty if it has none.
    pub data_json: String,
}

impl LogEntry {
    /// The content as one entry, or as several if it is longer than the limit of the contract.
    pub(crate) fn split(level: Level, content: Content, data: Option<&Value>) -> Vec<Self> {
        let data_json = data.map_or_else(String::new, data_text);
        content.split().into_iter().map(|content| Self { level, content, data_json: data_json.clone() }).collect()
    }

    /// Bytes of content and data.
    pub(crate) fn size(&self) -> usize {
        self.data_json.len()
            + match &self.content {
                Content::Text(text) => text.len(),
                Content::Bytes(bytes) => bytes.len(),
            }
    }
}

impl Content {
    fn split(self) -> Vec<Self> {
        match self {
            // The contract refuses NUL in text, but takes it in bytes.
            Self::Text(text) if text.contains('\0') => Self::Bytes(text.into()).split(),
            Self::Text(text) if text.len() <= MAX_CONTENT_BYTES => vec![Self::Text(text)],
            Self::Text(text) => {
                let mut parts = Vec::new();
                let mut rest = text.as_str();
                while !rest.is_empty() {
                    let (part, after) = rest.split_at(rest.floor_char_boundary(MAX_CONTENT_BYTES));
                    parts.push(Self::Text(part.to_owned()));
                    rest = after;
                }
                parts
            }
            Self::Bytes(mut bytes) => {
                let mut parts = Vec::new();
                while bytes.len() > MAX_CONTENT_BYTES {
                    parts.push(Self::Bytes(bytes.split_to(MAX_CONTENT_BYTES)));
                }
                parts.push(Self::Bytes(bytes));
                parts
            }
        }
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// The contract takes an object, so any other value becomes `{"value": ..}`. The server would refuse a line whose data is over
/// the limit.
fn data_text(data: &Value) -> String {
    let mut object = if data.is_object() { data.clone() } else { serde_json::json!({ "value": data }) };
    text::json(&mut object, MAX_CONTENT_BYTES).unwrap_or_else(|_| r#"{"omitted":"data over 64 KiB"}"#.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_split_between_characters() {
        let text = "é".repeat(MAX_CONTENT_BYTES);
        let entries = LogEntry::split(Level::Info, text.clone().into(), None);
        assert!(entries.iter().all(|entry| entry.size() <= MAX_CONTENT_BYTES));
        let joined: String = entries
            .iter()
            .map(|entry| match &entry.content {
                Content::Text(text) => text.as_str(),
                Content::Bytes(_) => panic!("expected text"),
            })
            .collect();
        assert_eq!(joined, text);
    }

    #[test]
    fn text_with_nul_travels_as_bytes() {
        let entries = LogEntry::split(Level::Info, "a\0b".into(), None);
        assert_eq!(entries[0].content, Content::Bytes(Bytes::from_static(b"a\0b")));
    }

    #[test]
    fn data_is_always_an_object_within_the_limit() {
        assert_eq!(data_text(&serde_json::json!(3)), r#"{"value":3}"#);
        assert_eq!(data_text(&serde_json::json!({ "x": "\0" })), "{\"x\":\"\u{fffd}\"}");
        assert_eq!(data_text(&serde_json::json!({ "x": "y".repeat(70_000) })), r#"{"omitted":"data over 64 KiB"}"#);
    }
}
