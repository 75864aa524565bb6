//! Worker streams that break the protocol: each ends with its reason, and changes no run of another worker.

use std::time::Duration;

use prost::Message;
use prost::bytes::Bytes;
use proto::v1::connect_request::Frame as In;
use proto::v1::*;
use tonic::Code;

use super::Scene;
use super::calls::{Expected, invalid, judge, refused};
use super::http2::{Ask, framed};
use super::values::{NOBODY, grants::Held};

const CONNECT: &str = "ops.v1.WorkerService/Connect";

/// A worker for a kind that nobody enqueues.
fn hello() -> Hello {
    Hello {
        protocol_version: 1,
        name: "bad".into(),
        lanes: vec![Lane::D.into()],
        kinds: vec!["nothing".into()],
        ..Default::default()
    }
}

fn encoded(frame: In) -> Vec<u8> {
    framed(&ConnectRequest { frame: Some(frame) }.encode_to_vec())
}

fn credit(total: i64) -> In {
    In::Credit(Credit { total })
}

fn leases(count: usize) -> Vec<Lease> {
    vec![Lease { run_id: NOBODY.into(), fence: 1 }; count]
}

fn events(lease: &Lease, first_seq: i64, count: usize) -> In {
    let entry = EventEntry { content: Some(event_entry::Content::Text("x".into())), ..Default::default() };
    let Lease { run_id, fence } = lease.clone();
    In::Events(RunEvents { run_id, fence, first_seq, entries: vec![entry; count] })
}

fn reports(lease: &Lease) -> In {
    let outcome = Some(Outcome { outcome: Some(outcome::Outcome::Succeeded(Succeeded::default())) });
    In::Reports(Reports { reports: vec![RunReport { run_id: lease.run_id.clone(), fence: lease.fence, outcome }] })
}

fn heartbeat(leases: Vec<Lease>) -> In {
    In::Heartbeat(WorkerHeartbeat { leases, progress: Vec::new(), pause: None })
}

fn pause(reason: &str, remaining: Option<prost_types::Duration>) -> In {
    let pause = Some(WorkerPause { reason: reason.to_owned(), remaining });
    In::Heartbeat(WorkerHeartbeat { leases: Vec::new(), progress: Vec::new(), pause })
}

/// The frames that a worker sends before it ends its side, and how its stream ends.
fn rows(held: &Held) -> Vec<(&'static str, Vec<Vec<u8>>, Expected)> {
    let violation = || refused(Code::InvalidArgument, "PROTOCOL_VIOLATION");
    let after = |frame: In| vec![encoded(In::Hello(hello())), encoded(frame)];
    let nothing = framed(&[]);
    let bad_hello = Hello {
        protocol_version: 2,
        name: "a\r\nb".into(),
        lanes: vec![9],
        kinds: vec![String::new()],
        labels: [("k".to_owned(), "\u{202e}".to_owned())].into(),
        version: "\0".into(),
        resume: Some(Resume {
            worker_id: "x".into(),
            secret: String::new(),
            held: vec![Lease::default()],
            sequence: -1,
        }),
    };
    let bad_fields = [
        "protocol_version",
        "name",
        "lanes[0]",
        "kinds[0]",
        r#"labels["k"]"#,
        "version",
        "resume.worker_id",
        "resume.secret",
        "resume.held[0].run_id",
        "resume.held[0].fence",
        "resume.sequence",
    ];
    let bad_fields = bad_fields.map(|field| format!("hello.{field}"));
    let guessing = Hello {
        resume: Some(Resume {
            worker_id: held.worker_id.clone(),
            secret: "guessed".into(),
            held: vec![held.lease.clone()],
            sequence: 1,
        }),
        ..hello()
    };
    let lost = |lease: &Lease| Lease { run_id: String::new(), ..lease.clone() };
    vec![
        ("a stream of nothing", vec![], Expected::Ok),
        ("Hello and no more", vec![encoded(In::Hello(hello()))], Expected::Ok),
        ("two Hellos", after(In::Hello(hello())), violation()),
        ("a frame with nothing in it, first", vec![nothing.clone()], violation()),
        ("a frame with nothing in it", vec![encoded(In::Hello(hello())), nothing], invalid(&["frame"])),
        (
            "a frame of an unknown kind",
            vec![encoded(In::Hello(hello())), framed(&[0xfa, 0x01, 0])],
            invalid(&["frame"]),
        ),
        ("Credit before Hello", vec![encoded(credit(1))], violation()),
        ("Reports before Hello", vec![encoded(reports(&held.lease))], violation()),
        ("Events before Hello", vec![encoded(events(&held.lease, 1, 1))], violation()),
        ("Goodbye before Hello", vec![encoded(In::Goodbye(Goodbye::default()))], violation()),
        (
            "a Hello with every field wrong",
            vec![encoded(In::Hello(bad_hello))],
            invalid(&bad_fields.each_ref().map(String::as_str)),
        ),
        ("a resume with a secret that was guessed", vec![encoded(In::Hello(guessing))], Expected::Ok),
        ("negative credit", after(credit(-1)), invalid(&["credit.total"])),
        ("the least credit", after(credit(i64::MIN)), invalid(&["credit.total"])),
        ("credit for a billion", after(credit(1_000_000_000)), violation()),
        ("credit for all there could ever be", after(credit(i64::MAX)), violation()),
        ("credit that falls", [after(credit(2)), vec![encoded(credit(1))]].concat(), violation()),
        ("1,001 Accepts", after(In::Accepts(Accepts { leases: leases(1_001) })), invalid(&["accepts.leases"])),
        (
            "1,001 CancelAcks",
            after(In::CancelAcks(CancelAcks { leases: leases(1_001) })),
            invalid(&["cancel_acks.leases"]),
        ),
        ("a heartbeat of 10,001 grants", after(heartbeat(leases(10_001))), invalid(&["heartbeat.leases"])),
        (
            "a heartbeat of no grant",
            after(heartbeat(vec![lost(&held.lease)])),
            invalid(&["heartbeat.leases[0].run_id"]),
        ),
        (
            "a pause without an end",
            after(pause("\0", None)),
            invalid(&["heartbeat.pause.remaining", "heartbeat.pause.reason"]),
        ),
        (
            "a pause of longer than an hour",
            after(pause(&"x".repeat(4_001), Some(prost_types::Duration { seconds: 3_601, nanos: 0 }))),
            invalid(&["heartbeat.pause.reason", "heartbeat.pause.remaining"]),
        ),
        ("a report of no run", after(reports(&lost(&held.lease))), invalid(&["reports.reports[0].run_id"])),
        ("a report with a fence of zero", after(reports(&Lease { fence: 0, ..held.lease.clone() })), Expected::Ok),
        ("events of no run", after(events(&lost(&held.lease), 1, 1)), invalid(&["events.run_id"])),
        ("Goodbye with NUL", after(In::Goodbye(Goodbye { reason: "\0".into() })), invalid(&["goodbye.reason"])),
        // Runs of other workers stay theirs; the end of the test checks it.
        ("a heartbeat for another worker's run", after(heartbeat(vec![held.lease.clone()])), Expected::Ok),
        ("a report for another worker's run", after(reports(&held.lease)), Expected::Ok),
        (
            "a report with the last fence",
            after(reports(&Lease { fence: i64::MAX, ..held.lease.clone() })),
            Expected::Ok,
        ),
        ("events of another worker's run", after(events(&held.lease, 1, 1_000)), Expected::Ok),
        ("more events than in one frame", after(events(&held.lease, 1, 1_001)), Expected::Ok),
        (
            "Accepts of another worker's run",
            after(In::Accepts(Accepts { leases: vec![held.lease.clone()] })),
            Expected::Ok,
        ),
        // The envelope.
        (
            "a message that ends within its length",
            vec![encoded(In::Hello(hello())), vec![0, 0, 0, 0, 9, 1]],
            invalid(&[""]),
        ),
        ("a message of 4 GiB", vec![encoded(In::Hello(hello())), vec![0, 255, 255, 255, 255]], invalid(&[""])),
        ("a compressed message", vec![encoded(In::Hello(hello())), vec![1, 0, 0, 0, 0]], invalid(&[""])),
        ("bytes that are no frame", vec![encoded(In::Hello(hello())), framed(&[0x0a, 0x7f])], invalid(&["frame"])),
        ("a name that is not UTF-8", vec![framed(&[0x0a, 3, 0x12, 1, 0xff])], invalid(&["frame.name"])),
    ]
}

/// Runs the table.
pub async fn all(scene: &mut Scene, held: &Held) {
    for (what, frames, expected) in rows(held) {
        // Each frame is sent on its own, and the end only after the server could object to the last frame.
        let body = frames.into_iter().map(Bytes::from).collect();
        let ask = Ask { body, pause: Some(Duration::from_millis(1)), ..Ask::new(CONNECT, Vec::new()) };
        let answer = ask.send(&scene.address).await;
        scene.check(&format!("Connect: {what}"), || judge(answer, &expected)).await;
    }
    let encoded = Ask::message(CONNECT, &[]).header("grpc-encoding", "gzip").send(&scene.address).await;
    let expected = refused(Code::Unimplemented, "UNSUPPORTED_ENCODING");
    scene.check("Connect: an encoding", || judge(encoded, &expected)).await;
}
