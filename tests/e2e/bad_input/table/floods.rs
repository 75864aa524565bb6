//! Wrong HTTP/2 frames, and too many of them: only the stream or the connection ends.

use prost::Message;
use proto::v1::WatchRunsRequest;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::frames::*;
use super::http2::framed;
use super::{Scene, TIMEOUT};

/// The HTTP/2 error codes that are expected here. The library answers most malformed frames with PROTOCOL_ERROR.
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A call that stays open while its client sends nothing more, one that is answered at once, and one with a large
/// answer.
const CONNECT: &str = "ops.v1.WorkerService/Connect";
const CHECK: &str = "grpc.health.v1.Health/Check";
const WATCH: &str = "ops.v1.RunService/WatchRuns";

const NO_SETTINGS: &[u8] = &[];
/// SETTINGS_INITIAL_WINDOW_SIZE of zero.
const NO_WINDOW: &[u8] = &[0, 4, 0, 0, 0, 0];

fn open(stream: u32, method: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head(method))
}

/// Stream ids of a client.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|n| 2 * n + 1)
}

type Frames = Box<dyn Iterator<Item = Vec<u8>> + Send>;

fn some(frames: impl IntoIterator<Item = Vec<u8>, IntoIter: Send + 'static>) -> Frames {
    Box::new(frames.into_iter())
}

/// The frames after the preface and an empty SETTINGS, and the expected reaction.
fn rows() -> Vec<(&'static str, Frames, Taken)> {
    use Taken::{GoAway, GoesOn, Resets};
    // All at once, as a client sends them that floods, or one whose calls were abandoned while the server stood still.
    let at_once = |count: u32, pieces: fn(u32) -> Vec<u8>| some([streams(count).flat_map(pieces).collect()]);
    let rapid = |pieces: fn(u32) -> Vec<u8>| at_once(20_000, pieces);
    let abandoned = |id| [open(id, CONNECT), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat();
    let zero = [0; 4];
    vec![
        // Floods.
        ("streams that are opened and reset at once", rapid(abandoned), GoAway(ENHANCE_YOUR_CALM)),
        ("calls that were abandoned before the server read them", at_once(900, abandoned), GoesOn),
        (
            "streams that the server has to reset, by a WINDOW_UPDATE of zero",
            rapid(|id| [open(id, CONNECT), frame(WINDOW_UPDATE, 0, id, &[0; 4])].concat()),
            GoAway(PROTOCOL_ERROR),
        ),
        (
            "streams that the server has to reset, by a window beyond 31 bits",
            rapid(|id| [open(id, CONNECT), frame(WINDOW_UPDATE, 0, id, &[0x7f, 0xff, 0xff, 0xff])].concat()),
            GoAway(ENHANCE_YOUR_CALM),
        ),
        (
            "streams that the server has to reset, by a PRIORITY of a wrong length",
            rapid(|id| [open(id, CONNECT), frame(PRIORITY, 0, id, &[0; 4])].concat()),
            GoAway(PROTOCOL_ERROR),
        ),
        (
            "a header without an end",
            some(
                [frame(HEADERS, 0, 1, &head(CHECK))]
                    .into_iter()
                    .chain((0..10_000).map(|_| frame(CONTINUATION, 0, 1, &block(&[("x", "y")])))),
            ),
            GoAway(ENHANCE_YOUR_CALM),
        ),
        (
            "a header without an end, in empty frames",
            some(
                [frame(HEADERS, 0, 1, &head(CHECK))]
                    .into_iter()
                    .chain((0..10_000).map(|_| frame(CONTINUATION, 0, 1, &[]))),
            ),
            GoAway(ENHANCE_YOUR_CALM),
        ),
        (
            "10,000 names in one header",
            some([frame(HEADERS, 0, 1, &head(CHECK))].into_iter().chain(
                (0..20).map(|n| frame(CONTINUATION, n / 19 * END_HEADERS, 1, &block(&[("x-name", "some value"); 500]))),
            )),
            GoAway(ENHANCE_YOUR_CALM),
        ),
        ("100,000 PINGs", some((0..100_000u64).map(|n| frame(PING, 0, 0, &n.to_be_bytes()))), GoesOn),
        ("10,000 SETTINGS", some((0..10_000).map(|_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]))), GoesOn),
        (
            "empty DATA without an end",
            some([open(1, CONNECT)].into_iter().chain((0..100_000).map(|_| frame(DATA, 0, 1, &[])))),
            GoAway(ENHANCE_YOUR_CALM),
        ),
        (
            "more calls at once than are accepted",
            some(streams(1_100).map(|id| open(id, CONNECT))),
            Resets(vec![REFUSED_STREAM]),
        ),
        // Frames that are wrong.
        ("a frame longer than was agreed", some([frame(DATA, 0, 1, &[0; 16_385])]), GoAway(FRAME_SIZE_ERROR)),
        ("HEADERS on no stream", some([frame(HEADERS, END_HEADERS, 0, &head(CHECK))]), GoAway(PROTOCOL_ERROR)),
        ("HEADERS on a stream of the server's", some([open(2, CHECK)]), GoAway(PROTOCOL_ERROR)),
        ("a stream whose number is behind", some([open(5, CONNECT), open(3, CONNECT)]), GoAway(PROTOCOL_ERROR)),
        ("DATA on a stream that was not opened", some([frame(DATA, 0, 1, b"x")]), GoAway(PROTOCOL_ERROR)),
        ("RST_STREAM on a stream that was not opened", some([frame(RST_STREAM, 0, 1, &zero)]), GoAway(PROTOCOL_ERROR)),
        ("RST_STREAM of a wrong length", some([frame(RST_STREAM, 0, 1, &[0; 5])]), GoAway(PROTOCOL_ERROR)),
        ("PING of a wrong length", some([frame(PING, 0, 0, &[0; 7])]), GoAway(PROTOCOL_ERROR)),
        ("PING on a stream", some([frame(PING, 0, 1, &[0; 8])]), GoAway(PROTOCOL_ERROR)),
        ("SETTINGS of a wrong length", some([frame(SETTINGS, 0, 0, &[0; 5])]), GoAway(PROTOCOL_ERROR)),
        ("a window of 32 bits", some([frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])]), GoAway(PROTOCOL_ERROR)),
        ("WINDOW_UPDATE of zero", some([frame(WINDOW_UPDATE, 0, 0, &zero)]), GoAway(PROTOCOL_ERROR)),
        (
            "a window of the connection beyond 31 bits",
            some([frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])]),
            GoAway(FLOW_CONTROL_ERROR),
        ),
        (
            "PUSH_PROMISE by a client",
            some([frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])]),
            GoAway(PROTOCOL_ERROR),
        ),
        ("CONTINUATION of nothing", some([frame(CONTINUATION, END_HEADERS, 1, &[])]), GoAway(PROTOCOL_ERROR)),
        (
            "another frame within a header",
            some([frame(HEADERS, 0, 1, &head(CHECK)), frame(PING, 0, 0, &[0; 8])]),
            GoAway(PROTOCOL_ERROR),
        ),
        ("padding longer than its frame", some([frame(DATA, PADDED, 1, &[9, 0])]), GoAway(PROTOCOL_ERROR)),
        (
            "a header that can not be decoded",
            some([frame(HEADERS, END_HEADERS, 1, &[0xff; 9])]),
            GoAway(PROTOCOL_ERROR),
        ),
        (
            "a header that refers to an unknown table entry",
            some([frame(HEADERS, END_HEADERS, 1, &[0xbe])]),
            GoAway(PROTOCOL_ERROR),
        ),
        (
            "a header in capitals",
            some([frame(HEADERS, END_HEADERS, 1, &block(&[("X-Y", "z")]))]),
            GoAway(PROTOCOL_ERROR),
        ),
        (
            "a header without a path",
            some([frame(HEADERS, END_HEADERS, 1, &block(&[(":method", "POST")]))]),
            Resets(vec![PROTOCOL_ERROR]),
        ),
        ("a frame of an unknown kind", some([frame(0x77, 0xff, 1, b"whatever")]), GoesOn),
    ]
}

/// Opens so many calls that are refused before their messages are sent, as a server over its limit refuses them. Sends the
/// messages after the answers, and returns the reaction.
async fn late_messages(address: &str, calls: u32) -> Taken {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let (mut read, mut write) = stream.into_split();
    let opened: Vec<u8> = streams(calls).flat_map(|id| open(id, "ops.v1.RunService/Unknown")).collect();
    write.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, NO_SETTINGS), &opened].concat()).await.expect("it listens");
    let mut answers = 0;
    while answers < calls {
        match in_time(next(&mut read)).await {
            Some((HEADERS, flags, _)) if flags & END_STREAM != 0 => answers += 1,
            Some((GOAWAY, ..)) | None => return Taken::Closed,
            Some(_) => {}
        }
    }
    let messages = streams(calls).flat_map(|id| frame(DATA, END_STREAM, id, &framed(b"")));
    let messages: Vec<u8> = messages.chain(frame(PING, 0, 0, &[1; 8])).collect();
    write.write_all(&messages).await.expect("it listens");
    loop {
        match in_time(next(&mut read)).await {
            Some((PING, ACK, _)) => return Taken::GoesOn,
            Some((GOAWAY, _, payload)) => return Taken::GoAway(payload[7].into()),
            Some(_) => {}
            None => return Taken::Closed,
        }
    }
}

async fn in_time<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, step).await.expect("the server answers")
}

/// Bytes in place of a preface.
const BEGINNINGS: [(&str, &[u8]); 3] = [
    ("a preface that turns into something else", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"),
    ("nonsense", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is no TLS here"),
    ("a request of HTTP/0.9", b"GET /\r\n"),
];

/// Runs the table.
pub async fn all(scene: &mut Scene) {
    for (what, frames, expected) in rows() {
        let taken = say(&scene.address, NO_SETTINGS, frames).await;
        scene
            .check(what, || (taken == expected).then_some(()).ok_or(format!("expected {expected:?}, got {taken:?}")))
            .await;
    }
    let what = "clients that request everything and read nothing";
    let watch = WatchRunsRequest { include_snapshot: true, ..Default::default() };
    let ask = framed(&watch.encode_to_vec());
    let watches = streams(200).map(|id| [open(id, WATCH), frame(DATA, END_STREAM, id, &ask)].concat());
    let taken = say(&scene.address, NO_WINDOW, watches).await;
    scene.check(what, || (taken == Taken::GoesOn).then_some(()).ok_or(format!("got {taken:?}"))).await;
    let what = "messages that come after their calls were answered";
    let taken = late_messages(&scene.address, 500).await;
    scene.check(what, || (taken == Taken::GoesOn).then_some(()).ok_or(format!("got {taken:?}"))).await;
    let what = "DATA after the end";
    let frames = [frame(HEADERS, END_HEADERS | END_STREAM, 1, &head(CONNECT)), frame(DATA, 0, 1, b"x")];
    let taken = say(&scene.address, NO_SETTINGS, frames).await;
    // The code depends on whether the server has ended the stream, too.
    let ended = matches!(taken, Taken::GoAway(_) | Taken::Resets(_));
    scene.check(what, || ended.then_some(()).ok_or(format!("expected an end, got {taken:?}"))).await;
    for (what, bytes) in BEGINNINGS {
        let taken = exchange(&scene.address, bytes.to_vec(), []).await;
        let ended = matches!(taken, Taken::Closed | Taken::GoAway(_));
        scene.check(what, || ended.then_some(()).ok_or(format!("expected an end, got {taken:?}"))).await;
    }
}
