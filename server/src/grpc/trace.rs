//! Where a call stands in a distributed trace.

use tonic::metadata::MetadataMap;

use crate::domain::TraceParent;

/// The name in the metadata, as W3C Trace Context has it.
const TRACEPARENT: &str = "traceparent";

/// Who made the call. What is no `traceparent`, or is said twice, counts as nothing: so W3C Trace Context wants it.
pub fn traceparent_of(metadata: &MetadataMap) -> Option<TraceParent> {
    let mut values = metadata.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    TraceParent::parse(value.to_str().ok()?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn one_that_is_right_counts_and_nothing_else_does() {
        let read = |values: &[&'static str]| {
            let mut metadata = MetadataMap::new();
            values.iter().for_each(|value| {
                metadata.append(TRACEPARENT, value.parse().expect("a value"));
            });
            traceparent_of(&metadata).map(|parent| parent.to_string())
        };
        assert_eq!(read(&[GOOD]).as_deref(), Some(GOOD));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[GOOD, GOOD]), None);
        assert_eq!(read(&["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"]), None);
    }
}
