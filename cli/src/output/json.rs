//! Messages of the contract as JSON by the proto3 JSON mapping: names in lowerCamelCase; 64-bit integers, enums, times
//! and bytes as strings. Fields without presence are printed even with their default value, so that a script always
//! finds them. Unset messages and unset optional fields are left out.
//!
//! It reads the descriptors of the contract, so a new field needs no code here.

use std::{collections::HashMap, sync::LazyLock};

use anyhow::{Context, Result, anyhow, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat};
use prost::{Message, bytes::Bytes};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::wire::{self, Wire};

/// A JSON value whose objects keep the order of the contract.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Bool(bool),
    Integer(i64),
    Double(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Double(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(values) => serializer.collect_seq(values),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// The JSON of a message. `name` is its short name in package `ops.v1`.
pub(crate) fn of<M: Message>(name: &str, message: &M) -> Result<Json> {
    SCHEMA.message(&format!(".ops.v1.{name}"), message.encode_to_vec().into())
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    // The build of the contract makes the set. If it were damaged, each lookup below would name what is missing.
    Schema::read(FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap_or_default())
});

#[derive(Default)]
struct Schema {
    messages: HashMap<String, DescriptorProto>,
    enums: HashMap<String, EnumDescriptorProto>,
}

impl Schema {
    fn read(set: FileDescriptorSet) -> Self {
        let mut schema = Self::default();
        for file in set.file {
            let package = format!(".{}", file.package());
            for kind in file.enum_type {
                schema.enums.insert(format!("{package}.{}", kind.name()), kind);
            }
            for message in file.message_type {
                schema.add(&package, message);
            }
        }
        schema
    }

    fn add(&mut self, scope: &str, mut message: DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        for kind in std::mem::take(&mut message.enum_type) {
            self.enums.insert(format!("{name}.{}", kind.name()), kind);
        }
        for nested in std::mem::take(&mut message.nested_type) {
            self.add(&name, nested);
        }
        self.messages.insert(name, message);
    }

    fn message(&self, name: &str, bytes: Bytes) -> Result<Json> {
        match name {
            ".google.protobuf.Timestamp" => return timestamp(bytes),
            ".google.protobuf.Duration" => return duration(bytes),
            _ => {}
        }
        let descriptor = self.messages.get(name).with_context(|| format!("the contract has no message {name}"))?;
        let mut values = wire::fields(bytes)?;
        let mut object = Vec::new();
        for field in &descriptor.field {
            let values = values.remove(&field.number()).unwrap_or_default();
            if let Some(value) = self.field(field, values)? {
                object.push((field.json_name().to_owned(), value));
            }
        }
        Ok(Json::Object(object))
    }

    fn field(&self, field: &FieldDescriptorProto, values: Vec<Wire>) -> Result<Option<Json>> {
        if field.label() == Label::Repeated {
            return match self.messages.get(field.type_name()).filter(|entry| is_map(entry)) {
                Some(entry) => self.map(entry, values).map(Some),
                None => self.list(field, values).map(Some),
            };
        }
        match values.into_iter().last() {
            Some(value) => self.value(field, value).map(Some),
            None if has_presence(field) => Ok(None),
            None => self.value(field, Wire::default_of(field.r#type())).map(Some),
        }
    }

    fn list(&self, field: &FieldDescriptorProto, values: Vec<Wire>) -> Result<Json> {
        let mut list = Vec::new();
        for value in values {
            for value in wire::unpack(field.r#type(), value)? {
                list.push(self.value(field, value)?);
            }
        }
        Ok(Json::List(list))
    }

    fn map(&self, entry: &DescriptorProto, values: Vec<Wire>) -> Result<Json> {
        let mut object = Vec::new();
        for value in values {
            let mut pair = wire::fields(value.bytes()?)?;
            let mut member = |number: i32| -> Result<Json> {
                let field =
                    entry.field.iter().find(|field| field.number() == number).context("a map entry has two fields")?;
                let value = pair.remove(&number).and_then(|mut values| values.pop());
                self.value(field, value.unwrap_or_else(|| Wire::default_of(field.r#type())))
            };
            let key = match member(1)? {
                Json::Text(key) => key,
                Json::Bool(key) => key.to_string(),
                Json::Integer(key) => key.to_string(),
                _ => bail!("a map key is a string, an integer or a bool"),
            };
            object.push((key, member(2)?));
        }
        Ok(Json::Object(object))
    }

    fn value(&self, field: &FieldDescriptorProto, value: Wire) -> Result<Json> {
        Ok(match field.r#type() {
            Type::Message => return self.message(field.type_name(), value.bytes()?),
            Type::Enum => self.enumeration(field.type_name(), value.integer()?),
            Type::String => Json::Text(String::from_utf8(value.bytes()?.into())?),
            Type::Bytes => Json::Text(STANDARD.encode(value.bytes()?)),
            Type::Bool => Json::Bool(value.integer()? != 0),
            Type::Int32 => Json::Integer(value.integer()?),
            Type::Uint32 => Json::Integer(value.integer()? & i64::from(u32::MAX)),
            Type::Int64 => Json::Text(value.integer()?.to_string()),
            Type::Double => match value.double()? {
                number if number.is_finite() => Json::Double(number),
                number if number.is_nan() => Json::Text("NaN".to_owned()),
                number => Json::Text(if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()),
            },
            other => bail!("the contract has no field of type {other:?}"),
        })
    }

    /// A number that this program does not know stays a number, as the mapping demands.
    fn enumeration(&self, name: &str, number: i64) -> Json {
        let value = self.enums.get(name).and_then(|kind| kind.value.iter().find(|v| i64::from(v.number()) == number));
        value.map_or(Json::Integer(number), |value| Json::Text(value.name().to_owned()))
    }
}

fn is_map(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(|options| options.map_entry())
}

fn has_presence(field: &FieldDescriptorProto) -> bool {
    field.r#type() == Type::Message || field.oneof_index.is_some()
}

fn timestamp(bytes: Bytes) -> Result<Json> {
    let time = prost_types::Timestamp::decode(bytes)?;
    let nanos = u32::try_from(time.nanos).map_err(|_| anyhow!("a time with negative nanoseconds"))?;
    let moment = DateTime::from_timestamp(time.seconds, nanos).context("a time out of range")?;
    Ok(Json::Text(moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
}

/// Seconds with 0, 3, 6 or 9 digits after the point, and `s`.
fn duration(bytes: Bytes) -> Result<Json> {
    let span = prost_types::Duration::decode(bytes)?;
    let sign = if span.seconds < 0 || span.nanos < 0 { "-" } else { "" };
    let nanos = span.nanos.unsigned_abs();
    let fraction = match nanos {
        0 => String::new(),
        n if n % 1_000_000 == 0 => format!(".{:03}", n / 1_000_000),
        n if n % 1_000 == 0 => format!(".{:06}", n / 1_000),
        n => format!(".{n:09}"),
    };
    Ok(Json::Text(format!("{sign}{}{fraction}s", span.seconds.unsigned_abs())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proto::v1;

    use super::*;

    fn text<M: Message>(name: &str, message: &M) -> String {
        serde_json::to_string(&of(name, message).unwrap()).unwrap()
    }

    #[test]
    fn a_run_has_the_shape_of_the_proto3_mapping() {
        let run = v1::Run {
            id: "0190".to_owned(),
            lane: v1::Lane::B.into(),
            priority: -5,
            status: v1::RunStatus::Running.into(),
            fence: 9_007_199_254_740_993,
            timeout: Some(prost_types::Duration { seconds: 3, nanos: 500_000_000 }),
            labels: BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]),
            progress: Some(v1::Progress { fraction: 0.25, message: "a \"quarter\"".to_owned() }),
            cancellation: Some(v1::Cancellation { confirmed: Some(false), ..Default::default() }),
            create_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 120_000_000 }),
            ..Default::default()
        };
        let json: serde_json::Value = serde_json::from_str(&text("Run", &run)).unwrap();
        let expected = serde_json::json!({
            "id": "0190", "sessionId": "", "lane": "LANE_B", "priority": -5, "kind": "", "paramsJson": "",
            "status": "RUN_STATUS_RUNNING", "waitReason": "WAIT_REASON_UNSPECIFIED", "attempt": 0, "maxAttempts": 0,
            "claimedBy": "", "workerId": "", "fence": "9007199254740993", "revision": "0", "timeout": "3.500s", "traceparent": "",
            "labels": {"a": "1", "b": ""}, "progress": {"fraction": 0.25, "message": "a \"quarter\""}, "resultJson": "",
            "cancellation": {"reason": "", "confirmed": false}, "createTime": "2023-11-14T22:13:20.120Z",
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn fields_come_in_the_order_of_the_contract() {
        assert!(text("Run", &v1::Run::default()).starts_with(r#"{"id":"","sessionId":"","lane":"LANE_UNSPECIFIED","#));
    }

    #[test]
    fn lists_of_enums_and_of_messages_are_lists() {
        let worker = v1::Worker { lanes: vec![v1::Lane::A.into(), v1::Lane::D.into()], ..Default::default() };
        let page = v1::ListWorkersResponse { workers: vec![worker], next_page_token: "t".to_owned() };
        let json = text("ListWorkersResponse", &page);
        assert!(json.contains(r#""lanes":["LANE_A","LANE_D"],"kinds":[]"#), "{json}");
        assert!(json.ends_with(r#""nextPageToken":"t"}"#), "{json}");
    }

    #[test]
    fn only_the_member_of_a_oneof_that_is_set_is_printed() {
        use v1::watch_runs_response::Event;
        let bookmark =
            v1::WatchRunsResponse { event: Some(Event::Bookmark(v1::Bookmark { resume_token: "x".to_owned() })) };
        assert_eq!(text("WatchRunsResponse", &bookmark), r#"{"bookmark":{"resumeToken":"x"}}"#);
    }

    #[test]
    fn bytes_are_base64_and_unknown_enum_values_stay_numbers() {
        let event = v1::RunEvent { raw: Bytes::from_static(b"\xff\x00"), level: 77, ..Default::default() };
        let json = text("RunEvent", &event);
        assert!(json.contains(r#""raw":"/wA=""#) && json.contains(r#""level":77"#), "{json}");
    }

    #[test]
    fn durations_have_three_six_or_nine_digits() {
        let span = |seconds, nanos| duration(prost_types::Duration { seconds, nanos }.encode_to_vec().into()).unwrap();
        assert_eq!(span(5, 0), Json::Text("5s".to_owned()));
        assert_eq!(span(-1, -5_000), Json::Text("-1.000005s".to_owned()));
        assert_eq!(span(0, 1), Json::Text("0.000000001s".to_owned()));
    }
}
