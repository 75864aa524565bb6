//! Events of a run's log.

use proto::v1;

use super::fields::{Fields, Path};
use super::time::timestamp_out;
use super::to_proto::ToProto;
use engine::domain::GrantKey;
use engine::domain::event::{EventBatch, EventEntry, EventLevel, RunEvent};

/// The events of a grant that is already checked.
pub fn event_batch(fields: &mut Fields<'_>, path: Path<'_>, grant: GrantKey, events: v1::RunEvents) -> EventBatch {
    let count = events.entries.len();
    if count == 0 || count > fields.limits.frame_items {
        fields.bad(path.field("entries"), format!("expected 1 to {} entries, got {count}", fields.limits.frame_items));
    }
    let highest = i64::MAX - i64::try_from(count).unwrap_or(i64::MAX);
    fields.number(path.field("first_seq"), events.first_seq, 1, highest);
    let entries = path.field("entries");
    EventBatch {
        grant,
        first_seq: events.first_seq,
        entries: events
            .entries
            .into_iter()
            .enumerate()
            .map(|(index, entry)| event_entry(fields, entries.index(index), entry))
            .collect(),
    }
}

fn event_entry(fields: &mut Fields<'_>, path: Path<'_>, entry: v1::EventEntry) -> EventEntry {
    let limits = fields.limits;
    let level = event_level(fields, path.field("level"), entry.level).unwrap_or(EventLevel::Info);
    let (message, raw) = match entry.content {
        Some(v1::event_entry::Content::Text(text)) => (fields.bytes(path.field("text"), text, limits.event), None),
        Some(v1::event_entry::Content::Raw(bytes)) => {
            if bytes.len() > limits.event {
                fields.bad(path.field("raw"), format!("expected at most {} bytes, got {}", limits.event, bytes.len()));
            }
            rendered(&bytes)
        }
        None => {
            fields.bad(path, "expected text or raw, got neither");
            (String::new(), None)
        }
    };
    let data = fields.optional_object(path.field("data_json"), entry.data_json, limits.event_data);
    EventEntry { level, message, raw, data }
}

/// Bytes as text that the database accepts, and also the bytes themselves if the text differs from them.
fn rendered(bytes: &[u8]) -> (String, Option<Vec<u8>>) {
    let text = String::from_utf8_lossy(bytes).replace('\0', "\u{FFFD}");
    let raw = (text.as_bytes() != bytes).then(|| bytes.to_vec());
    (text, raw)
}

/// A level; `None` if it is unset.
pub fn event_level(fields: &mut Fields<'_>, path: Path<'_>, value: i32) -> Option<EventLevel> {
    match v1::EventLevel::try_from(value) {
        Ok(v1::EventLevel::Unspecified) => None,
        Ok(v1::EventLevel::Debug) => Some(EventLevel::Debug),
        Ok(v1::EventLevel::Info) => Some(EventLevel::Info),
        Ok(v1::EventLevel::Warn) => Some(EventLevel::Warn),
        Ok(v1::EventLevel::Error) => Some(EventLevel::Error),
        Err(_) => {
            fields.bad(path, format!("expected a level, got the unknown number {value}"));
            None
        }
    }
}

impl ToProto for EventLevel {
    type Proto = v1::EventLevel;

    fn to_proto(self) -> v1::EventLevel {
        let level = self;
        match level {
            EventLevel::Debug => v1::EventLevel::Debug,
            EventLevel::Info => v1::EventLevel::Info,
            EventLevel::Warn => v1::EventLevel::Warn,
            EventLevel::Error => v1::EventLevel::Error,
        }
    }
}

impl ToProto for RunEvent {
    type Proto = v1::RunEvent;

    fn to_proto(self) -> v1::RunEvent {
        let event = self;
        v1::RunEvent {
            id: event.id.to_string(),
            run_id: event.run_id.to_string(),
            fence: event.position.fence,
            seq: event.position.seq,
            create_time: Some(timestamp_out(event.created_at)),
            level: event.level.to_proto().into(),
            message: event.message,
            raw: event.raw.unwrap_or_default().into(),
            data_json: event.data.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::domain::Limits;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn bytes_are_kept_beside_the_text_only_if_they_differ() {
        assert_eq!(rendered("é\n".as_bytes()), ("é\n".to_owned(), None));
        assert_eq!(rendered(b"a\0b"), ("a\u{FFFD}b".to_owned(), Some(b"a\0b".to_vec())));
        assert_eq!(rendered(b"\xff!"), ("\u{FFFD}!".to_owned(), Some(b"\xff!".to_vec())));
        // A replacement character that was sent is text.
        assert_eq!(rendered("\u{FFFD}".as_bytes()), ("\u{FFFD}".to_owned(), None));
    }

    fn batch(first_seq: i64, entries: Vec<v1::EventEntry>) -> Result<EventBatch, Vec<String>> {
        let limits = Limits::default();
        let mut fields = Fields::new(&limits);
        let events = v1::RunEvents { first_seq, entries, ..Default::default() };
        let batch =
            event_batch(&mut fields, Path::Root.field("events"), GrantKey { run_id: Uuid::max(), fence: 1 }, events);
        fields.finish(batch).map_err(|violations| violations.0.into_iter().map(|v| v.field).collect())
    }

    fn text(text: &str) -> v1::EventEntry {
        v1::EventEntry { content: Some(v1::event_entry::Content::Text(text.into())), ..Default::default() }
    }

    #[test]
    fn an_event_without_a_level_is_info() {
        assert_eq!(batch(1, vec![text("x")]).expect("good").entries[0].level, EventLevel::Info);
    }

    #[test]
    fn each_violation_names_its_field() {
        assert_eq!(batch(0, vec![text("x")]).expect_err("seq"), ["events.first_seq"]);
        assert_eq!(batch(i64::MAX, vec![text("x")]).expect_err("seq"), ["events.first_seq"]);
        assert_eq!(batch(1, vec![]).expect_err("empty"), ["events.entries"]);
        assert_eq!(batch(1, vec![text("x"); 1_001]).expect_err("many"), ["events.entries"]);
        let bad = v1::EventEntry { level: 9, content: None, data_json: "1".into() };
        let fields = batch(1, vec![text("a\0"), bad]).expect_err("bad");
        let entry =
            ["events.entries[0].text", "events.entries[1].level", "events.entries[1]", "events.entries[1].data_json"];
        assert_eq!(fields, entry);
    }
}
