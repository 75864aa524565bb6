//! SessionService.

use prost_types::value::Kind;
use prost_types::{FieldMask, Struct, Value};
use proto::v1::create_session_request::Context;
use proto::v1::*;
use tonic::Code;

use super::super::Scene;
use super::super::calls::{invalid, refused};
use super::texts::{bad_lines, bad_objects};
use super::times::BAD_DURATIONS;
use super::{NOBODY, Row, no_ids, row};

const CREATE: &str = "ops.v1.SessionService/CreateSession";
const GET: &str = "ops.v1.SessionService/GetSession";
const LIST: &str = "ops.v1.SessionService/ListSessions";
const UPDATE: &str = "ops.v1.SessionService/UpdateSession";
const CLOSE: &str = "ops.v1.SessionService/CloseSession";
const CANCEL: &str = "ops.v1.SessionService/CancelSession";

fn good() -> CreateSessionRequest {
    CreateSessionRequest { name: "n".into(), ..Default::default() }
}

pub fn rows(scene: &Scene) -> Vec<Row> {
    let mut rows = vec![row("a session without a name", CREATE, CreateSessionRequest::default(), invalid(&["name"]))];
    for (what, text) in bad_lines(200) {
        let create =
            CreateSessionRequest { name: text.clone(), triggered_by: text.clone(), request_id: text, ..good() };
        rows.push(row(format!("names with {what}"), CREATE, create, invalid(&["name", "triggered_by", "request_id"])));
    }
    for (what, description) in [("NUL", "a\0b".to_owned()), ("4,001 characters", "x".repeat(4_001))] {
        let create = CreateSessionRequest { description, ..good() };
        rows.push(row(format!("a description with {what}"), CREATE, create, invalid(&["description"])));
    }
    for (what, text) in bad_objects() {
        let create = CreateSessionRequest { context: Some(Context::ContextJson(text)), ..good() };
        rows.push(row(format!("a context that is {what}"), CREATE, create, invalid(&["context_json"])));
    }
    let kinds = [
        ("NaN", Some(Kind::NumberValue(f64::NAN))),
        ("infinity", Some(Kind::NumberValue(f64::INFINITY))),
        ("nothing", None),
        ("NUL", Some(Kind::StringValue("\0".into()))),
    ];
    for (what, kind) in kinds {
        let context = Struct { fields: [("a".to_owned(), Value { kind })].into() };
        let create = CreateSessionRequest { context: Some(Context::ContextStruct(context)), ..good() };
        rows.push(row(format!("a structure with {what}"), CREATE, create, invalid(&["context_struct"])));
    }

    rows.extend(no_ids(GET, "session_id", |session_id| GetSessionRequest { session_id }));
    rows.extend(no_ids(CLOSE, "session_id", |session_id| CloseSessionRequest { session_id }));
    rows.extend(no_ids(CANCEL, "session_id", |session_id| CancelSessionRequest { session_id, ..Default::default() }));
    let unknown = || refused(Code::NotFound, "SESSION_NOT_FOUND");
    let session_id = NOBODY.to_owned();
    rows.push(row("GetSession of an unknown id", GET, GetSessionRequest { session_id: session_id.clone() }, unknown()));
    rows.push(row(
        "CloseSession of an unknown session",
        CLOSE,
        CloseSessionRequest { session_id: session_id.clone() },
        unknown(),
    ));
    let cancel = CancelSessionRequest { session_id, ..Default::default() };
    rows.push(row("CancelSession of an unknown id", CANCEL, cancel.clone(), unknown()));
    for (what, grace) in BAD_DURATIONS {
        let cancel = CancelSessionRequest { grace: Some(grace), reason: "a\0".into(), ..cancel.clone() };
        rows.push(row(
            format!("CancelSession with a grace that is {what}"),
            CANCEL,
            cancel,
            invalid(&["reason", "grace"]),
        ));
    }

    let update = |paths: &[&str]| UpdateSessionRequest {
        session_id: scene.session.clone(),
        update_mask: Some(FieldMask { paths: paths.iter().map(ToString::to_string).collect() }),
        ..Default::default()
    };
    rows.push(row("UpdateSession of nothing", UPDATE, update(&[]), invalid(&["update_mask"])));
    let (paths, fields) = (["*", "status", "name.x", ""], [0, 1, 2, 3].map(|n| format!("update_mask.paths[{n}]")));
    let fields = fields.each_ref().map(String::as_str);
    rows.push(row("UpdateSession of fields that there are not", UPDATE, update(&paths), invalid(&fields)));
    rows.push(row("UpdateSession to no name", UPDATE, update(&["name", "name"]), invalid(&["name"])));

    for size in [-1, i32::MIN] {
        let list = ListSessionsRequest { page_size: size, ..Default::default() };
        rows.push(row(format!("ListSessions of {size}"), LIST, list, invalid(&["page_size"])));
    }
    let list = ListSessionsRequest { statuses: vec![0, 99, -1], ..Default::default() };
    let fields = ["statuses[0]", "statuses[1]", "statuses[2]"];
    rows.push(row("ListSessions of statuses that there are not", LIST, list, invalid(&fields)));
    rows
}
