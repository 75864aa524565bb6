//! `ops doctor`. Each test injects one fault into a real PostgreSQL or a server, and expects its finding. If the
//! finding mends by a statement, the test executes it and expects no finding.

mod place;
mod pooler;
mod server;
mod session;
mod settings;
pub mod sound;
mod work;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::program::{Ended, ops};

/// The findings about the shared cluster, which is unsound for speed.
const UNSOUND: [&str; 4] = ["fsync-off", "full-page-writes-off", "autovacuum-off", "idle-in-transaction-timeout"];

/// A finding in the output of `-o json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub id: String,
    pub severity: String,
    pub what: String,
    pub why: String,
    pub mend: String,
}

/// The findings with these arguments, and the exit status.
pub fn examine(args: &[&str]) -> (Vec<Finding>, Ended) {
    let ended = ops(&[&["doctor", "-o", "json"], args].concat());
    assert_eq!(ended.stderr, "", "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let targets = report["examined"].as_array().unwrap();
    let findings = targets.iter().flat_map(|target| target["findings"].as_array().unwrap());
    let text = |finding: &Value, field: &str| {
        let text = finding[field].as_str().unwrap().to_owned();
        assert!(!text.is_empty(), "{finding}");
        text
    };
    let findings = findings.map(|it| Finding {
        id: text(it, "id"),
        severity: text(it, "severity"),
        what: text(it, "what"),
        why: text(it, "why"),
        mend: text(it, "mend"),
    });
    let findings: Vec<_> = findings.collect();
    let is_fault = findings.iter().any(|it| it.severity != "note");
    assert_eq!(ended.code, Some(i32::from(is_fault)), "{ended:?}");
    (findings, ended)
}

/// The findings about a database of the shared cluster, without those about the cluster.
pub fn findings(url: &str, args: &[&str]) -> Vec<Finding> {
    let (mut findings, _) = examine(&[&["--database-url", url], args].concat());
    findings.retain(|it| !UNSOUND.contains(&it.id.as_str()));
    findings
}

/// Examines again until the findings are as expected. PostgreSQL applies some changes only after a signal or a
/// commit.
pub fn until(mut look: impl FnMut() -> Vec<Finding>, is_right: impl Fn(&[&str]) -> bool) -> Vec<Finding> {
    // Each examination is a process and a connection, and takes much longer than a signal.
    const LOOKS: usize = 200;
    let mut found = Vec::new();
    for _ in 0..LOOKS {
        found = look();
        if is_right(&ids(&found)) {
            return found;
        }
    }
    panic!("it stays as it is: {found:#?}")
}

pub fn ids(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|it| it.id.as_str()).collect()
}

/// The finding of this name. It must exist.
pub fn one(findings: &[Finding], id: &str) -> Finding {
    findings.iter().find(|it| it.id == id).unwrap_or_else(|| panic!("no {id} in {findings:#?}")).clone()
}

/// A session of the user in the URL.
pub async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// Executes these statements one by one.
pub async fn sql(url: &str, statements: &str) {
    let mut connection = connect(url).await;
    for statement in statements.split_inclusive(';') {
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    connection.close().await.unwrap();
}

/// The URL with another role. It logs in over the socket, without a password.
pub fn as_role(url: &str, role: &str) -> String {
    url.replacen("//postgres@", &format!("//{role}@"), 1)
}
