//! The error of a run.

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunError {
    /// The error's class.
    #[serde(rename = "type")]
    pub kind: String,
    pub message: String,
    #[serde(default)]
    pub stack: String,
    /// A JSON object, as text; empty when none.
    #[serde(default, with = "json_object")]
    pub context: String,
}

/// A JSON object that is text in Rust and an object in the database.
mod json_object {
    use serde::de::Deserialize;
    use serde::{Deserializer, Serialize, Serializer};
    use serde_json::Value;

    pub(super) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        let text = if text.is_empty() { "{}" } else { text };
        serde_json::from_str::<Value>(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Null => String::new(),
            Value::Object(map) if map.is_empty() => String::new(),
            value => value.to_string(),
        })
    }
}
