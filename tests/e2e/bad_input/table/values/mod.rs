//! Wrong fields, RPC by RPC. [`texts`] has bad texts, [`times`] bad durations and times; the other files are the
//! services.

mod artifacts;
pub mod grants;
mod runs;
mod sessions;
mod texts;
mod times;
mod tokens;
mod workers;

use prost::Message;

use super::Scene;
use super::calls::{Expected, judge};
use super::http2::Ask;

/// What is wrong, the method, the message, and the expected answer.
pub struct Row {
    what: String,
    method: &'static str,
    message: Vec<u8>,
    expected: Expected,
}

pub fn row(what: impl Into<String>, method: &'static str, message: impl Message, expected: Expected) -> Row {
    Row { what: what.into(), method, message: message.encode_to_vec(), expected }
}

/// A valid id of nothing.
pub const NOBODY: &str = "01980000-0000-7000-8000-000000000001";

/// Texts that are not an id.
pub const NO_IDS: [&str; 9] = [
    "",
    "00000000-0000-0000-0000-000000000000",
    "x",
    "' OR 1=1 --",
    "01980000-0000-7000-8000-00000000000",
    "{01980000-0000-7000-8000-000000000001}",
    "urn:uuid:01980000-0000-7000-8000-000000000001",
    "01980000000070008000000000000001",
    "01980000-0000-7000-8000-000000000001\0",
];

/// A row for each text that is not an id.
pub fn no_ids<M: Message>(method: &'static str, field: &str, message: impl Fn(String) -> M) -> Vec<Row> {
    let row_of = |id: &str| {
        row(format!("{method} with the id {id:?}"), method, message(id.into()), super::calls::invalid(&[field]))
    };
    NO_IDS.map(row_of).into_iter().collect()
}

/// Runs the tables.
pub async fn all(scene: &mut Scene) {
    let held = grants::hold(scene).await;
    let tables = [
        sessions::rows(scene),
        runs::rows(scene),
        workers::rows(&held),
        artifacts::rows(&held),
        tokens::rows(scene).await,
    ];
    for Row { what, method, message, expected } in tables.into_iter().flatten() {
        let answer = Ask::message(method, &message).send(&scene.address).await;
        scene.check(&what, || judge(answer, &expected)).await;
    }
    super::streams::all(scene, &held).await;
    grants::is_still_held(scene, held).await;
    for value in texts::GOOD_VALUES {
        let kept = runs::kept(scene, value).await;
        scene.check(value, || (kept == value).then_some(()).ok_or(format!("it is kept as {kept}"))).await;
    }
}
