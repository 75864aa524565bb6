//! The place of a run in a distributed trace: W3C Trace Context, level 2.

use std::fmt;

/// Flags that this version of the header knows: sampled, and random trace id.
const KNOWN_FLAGS: u8 = 0b11;
const SAMPLED: u8 = 0b01;

/// The length of a header of version 00.
const LENGTH: usize = 55;

/// The trace and the span that caused a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    flags: u8,
}

impl TraceParent {
    /// The parent with these ids, and with those flags that are known.
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Self {
        Self { trace_id, span_id, flags: flags & KNOWN_FLAGS }
    }

    /// Reads a `traceparent`. Of an unknown later version, it reads the part that all versions share.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let [version] = hex(bytes.get(0..2)?)?;
        match version {
            0 if bytes.len() != LENGTH => return None,
            0xff => return None,
            _ if bytes.len() > LENGTH && bytes[LENGTH] != b'-' => return None,
            _ => {}
        }
        if [2, 35, 52].iter().any(|dash| bytes.get(*dash) != Some(&b'-')) {
            return None;
        }
        let (trace_id, span_id) = (hex(bytes.get(3..35)?)?, hex(bytes.get(36..52)?)?);
        let [flags] = hex(bytes.get(53..LENGTH)?)?;
        (trace_id != [0; 16] && span_id != [0; 8]).then(|| Self::new(trace_id, span_id, flags))
    }

    /// Whether the caller records this trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    pub fn flags(&self) -> u8 {
        self.flags
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", self.flags)
    }
}

/// Reads `2 * N` lower-case hexadecimal digits.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn read(text: &str) -> Option<String> {
        TraceParent::parse(text).map(|parent| parent.to_string())
    }

    #[test]
    fn a_right_header_is_read_and_written_unchanged() {
        let text = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(read(&text).as_deref(), Some(text.as_str()));
        assert!(TraceParent::parse(&text).is_some_and(|parent| parent.is_sampled()));
        assert!(TraceParent::parse(&format!("00-{TRACE}-{SPAN}-02")).is_some_and(|parent| !parent.is_sampled()));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let known = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(read(&format!("01-{TRACE}-{SPAN}-01")), Some(known.clone()));
        assert_eq!(read(&format!("fe-{TRACE}-{SPAN}-0d-more")), Some(known));
        assert_eq!(read(&format!("01-{TRACE}-{SPAN}-01.more")), None);
    }

    #[test]
    fn a_wrong_header_is_ignored() {
        let (zeros, upper) = ("0".repeat(32), TRACE.to_uppercase());
        for wrong in [
            String::new(),
            "00".into(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-0"),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{upper}-{SPAN}-01"),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-é"),
            format!(" 00-{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }
}
