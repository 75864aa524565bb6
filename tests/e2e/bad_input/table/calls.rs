//! gRPC calls that are wrong before a service sees them.

use proto::v1::*;
use tonic::Code;
use tonic_types::StatusExt;

use super::Scene;
use super::http2::{Answer, Ask, framed};

const GET: &str = "ops.v1.RunService/GetRun";
const ENQUEUE: &str = "ops.v1.RunService/EnqueueRun";
const CHECK: &str = "grpc.health.v1.Health/Check";

/// The largest message that a server accepts.
const MESSAGE_MAX: usize = 16 << 20;

/// The expected answer to a call.
pub enum Expected {
    Ok,
    /// An HTTP status without gRPC.
    Http(u16),
    /// The code, the reason, and the wrong fields.
    Refused(Code, &'static str, Vec<String>),
}

/// Exactly these fields are wrong.
pub fn invalid(fields: &[&str]) -> Expected {
    Expected::Refused(Code::InvalidArgument, "INVALID_FIELD", fields.iter().map(ToString::to_string).collect())
}

pub fn refused(code: Code, reason: &'static str) -> Expected {
    Expected::Refused(code, reason, Vec::new())
}

/// Compares an answer with the expected one.
pub fn judge(answer: Result<Answer, h2::Error>, expected: &Expected) -> Result<(), String> {
    let answer = answer.map_err(|error| format!("the call was not answered: {error}"))?;
    let was = |what: &dyn std::fmt::Debug| format!("got HTTP {} and {what:?}", answer.http);
    match (expected, &answer.status) {
        (Expected::Http(code), None) if answer.http == *code => Ok(()),
        (Expected::Ok, Some(status)) if answer.http == 200 && status.code() == Code::Ok => Ok(()),
        (Expected::Refused(code, reason, fields), Some(status)) => {
            let info = status.get_details_error_info().map(|info| (info.domain, info.reason)).unwrap_or_default();
            let bad = status.get_details_bad_request().map(|it| it.field_violations).unwrap_or_default();
            let named: Vec<_> = bad.iter().map(|violation| violation.field.clone()).collect();
            let explained = info == ("ops".to_owned(), (*reason).to_owned()) && !status.message().is_empty();
            let right = answer.http == 200 && status.code() == *code && explained && named == *fields;
            let wanted = || format!("expected {code:?} {reason} {fields:?}, ");
            if right { Ok(()) } else { Err(wanted() + &was(&(status.code(), info.1, named, status.message()))) }
        }
        (_, status) => Err(was(status)),
    }
}

/// A field of bytes or text in protobuf's encoding.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 128 {
        out.push(u8::try_from(length % 128).expect("seven bits") | 128);
        length /= 128;
    }
    out.push(u8::try_from(length).expect("seven bits"));
    out.extend_from_slice(bytes);
    out
}

/// Nested structures, for `params_struct` of a run: `{"": {"": ...}}`.
fn nested(depth: usize) -> Vec<u8> {
    // A Struct has entries (1), an entry a value (2), a value a Struct (5).
    (0..depth).fold(Vec::new(), |inner, _| field(1, &field(2, &field(5, &inner))))
}

fn rows() -> Vec<(&'static str, Ask, Expected)> {
    use Expected::{Http, Ok};
    let check = || Ask::message(CHECK, &[]);
    let raw = |bytes: Vec<u8>| Ask::new(GET, bytes);
    let id = b"01980000-0000-7000-8000-000000000001";
    let run_not_found = || refused(Code::NotFound, "RUN_NOT_FOUND");
    let unencodable = || refused(Code::Unimplemented, "UNSUPPORTED_ENCODING");
    let run = |number, bytes: &[u8]| Ask::message(ENQUEUE, &field(1, &field(number, bytes)));
    vec![
        // The envelope of a message.
        ("no message", Ask::new(GET, Vec::new()), invalid(&[""])),
        ("a message that ends within its length", raw(vec![0, 0, 0]), invalid(&[""])),
        ("a message shorter than its length", raw([&[0, 0, 0, 0, 100][..], &[0; 10]].concat()), invalid(&[""])),
        ("a message of 4 GiB", raw([&[0, 255, 255, 255, 255][..], &[0; 10]].concat()), invalid(&[""])),
        (
            "a message one byte over the limit",
            raw([&[0][..], &(MESSAGE_MAX as u32 + 1).to_be_bytes(), &[0; 10]].concat()),
            invalid(&[""]),
        ),
        (
            "the largest message, of unknown fields",
            Ask::message(GET, &field(15, &vec![0; MESSAGE_MAX - 5])),
            invalid(&["run_id"]),
        ),
        ("a compressed message without an encoding", raw(vec![1, 0, 0, 0, 0]), invalid(&[""])),
        ("a message with an unknown flag", raw(vec![2, 0, 0, 0, 0]), invalid(&[""])),
        // A kilobyte that would decompress to a megabyte.
        ("a gzip bomb", raw(vec![1, 0, 0, 0, 4, 0x1f, 0x8b, 8, 0]).header("grpc-encoding", "gzip"), unencodable()),
        ("an unknown encoding", check().header("grpc-encoding", "zlib2"), unencodable()),
        ("an encoding that is not text", check().header("grpc-encoding", b"\xff\xfe"), unencodable()),
        ("no encoding, said", check().header("grpc-encoding", "identity"), Ok),
        // The message.
        ("a truncated varint", Ask::message(GET, &[0x0a, 0xff]), invalid(&["run_id"])),
        ("a varint of eleven bytes", Ask::message(GET, &[0xff; 11]), invalid(&[""])),
        ("a field number of zero", Ask::message(GET, &[0x02, 0x00]), invalid(&[""])),
        ("a field longer than its message", Ask::message(GET, &[0x0a, 0x7f, b'x']), invalid(&["run_id"])),
        ("an end of a group that has no beginning", Ask::message(GET, &[0x7c]), invalid(&[""])),
        ("a text of a wrong type", Ask::message(GET, &[0x08, 0x01]), invalid(&["run_id"])),
        ("a text that is not UTF-8", run(4, b"\xff\xfe"), invalid(&["run.kind"])),
        ("a surrogate in UTF-8", run(4, b"\xed\xa0\x80"), invalid(&["run.kind"])),
        (
            "1 MB of unknown fields",
            Ask::message(GET, &[field(1, id), field(15, &vec![7; 1 << 20])].concat()),
            run_not_found(),
        ),
        ("a field that is said twice", Ask::message(GET, &[field(1, b"x"), field(1, id)].concat()), run_not_found()),
        ("protobuf nested deeper than is read", run(6, &nested(101)), invalid(&["run.params"])),
        // The headers before the message.
        (
            "a deadline that has passed",
            check().header("grpc-timeout", "0n"),
            refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        ),
        ("a deadline in 11,000 years", check().header("grpc-timeout", "99999999H"), Ok),
        ("a deadline without a unit", check().header("grpc-timeout", "5"), invalid(&["grpc-timeout"])),
        ("a deadline of nine digits", check().header("grpc-timeout", "100000000S"), invalid(&["grpc-timeout"])),
        ("a negative deadline", check().header("grpc-timeout", "-1S"), invalid(&["grpc-timeout"])),
        ("bytes that are not base64", check().header("trace-bin", "!!"), invalid(&["trace-bin"])),
        ("bytes without padding", check().header("trace-bin", "AAECAw"), Ok),
        ("a header just below the limit", check().header("x", vec![b'x'; 15_000]), Ok),
        ("a header over the limit", check().header("x", vec![b'x'; 17_000]), Http(431)),
        // The path.
        (
            "an unknown method",
            Ask::message("ops.v1.RunService/Nope", &[]),
            refused(Code::Unimplemented, "UNKNOWN_METHOD"),
        ),
        ("an unknown service", Ask::message("ops.v1.Nope/GetRun", &[]), refused(Code::Unimplemented, "UNKNOWN_METHOD")),
        (
            "a path that climbs",
            Ask::message("ops.v1.RunService/../../etc/passwd", &[]),
            refused(Code::Unimplemented, "UNKNOWN_METHOD"),
        ),
        (
            "a path of 10,000 characters",
            Ask::message(&"x".repeat(10_000), &[]),
            refused(Code::Unimplemented, "UNKNOWN_METHOD"),
        ),
        ("another content type", check().header("content-type", "application/json"), Http(415)),
        (
            "a content type that begins like the right one",
            check().header("content-type", "application/grpcx"),
            Http(415),
        ),
        ("the content type with its format", check().header("content-type", "application/grpc+proto"), Ok),
        ("GET in place of POST", Ask { verb: "GET", ..check() }, Http(405)),
        (
            "an unknown page",
            Ask { verb: "GET", ..Ask::new("nope", Vec::new()) }.header("content-type", "text/html"),
            Http(404),
        ),
        ("a server that has another name", check().header("host", "elsewhere"), Ok),
    ]
}

/// Runs the table.
pub async fn all(scene: &mut Scene) {
    for (what, ask, expected) in rows() {
        let answer = ask.send(&scene.address).await;
        scene.check(what, || judge(answer, &expected)).await;
    }
    // Only the first is accepted.
    let ids = ["01980000-0000-7000-8000-000000000001", "x"].map(|id| GetRunRequest { run_id: id.into() });
    let both = ids.map(|request| framed(&prost::Message::encode_to_vec(&request))).concat();
    let answer = Ask::new(GET, both).send(&scene.address).await;
    scene.check("two messages in place of one", || judge(answer, &refused(Code::NotFound, "RUN_NOT_FOUND"))).await;
}
