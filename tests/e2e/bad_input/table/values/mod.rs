//! Fields that are wrong, RPC by RPC: [`texts`] are what a text may hold, [`times`] what a duration or a time may say; the
//! other files are the services.

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

/// What is wrong, the method, the message, and the answer.
pub struct Row {
    what: String,
    method: &'static str,
    message: Vec<u8>,
    expected: Expected,
}

pub fn row(what: impl Into<String>, method: &'static str, message: impl Message, expected: Expected) -> Row {
    Row { what: what.into(), method, message: message.encode_to_vec(), expected }
}

/// An id that nothing has.
pub const NOBODY: &str = "01980000-0000-7000-8000-000000000001";

/// What is no id.
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

/// A row for each text that is no id.
pub fn no_ids<M: Message>(method: &'static str, field: &str, message: impl Fn(String) -> M) -> Vec<Row> {
    let row_of = |id: &str| {
        row(format!("{method} with the id {id:?}"), method, message(id.into()), super::calls::invalid(&[field]))
    };
    NO_IDS.map(row_of).into_iter().collect()
}

/// Goes through the tables.
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
    grants::stands(scene, held).await;
    for value in texts::GOOD_VALUES {
        let kept = runs::kept(scene, value).await;
        scene.check(value, || (kept == value).then_some(()).ok_or(format!("it is kept as {kept}"))).await;
    }
}
