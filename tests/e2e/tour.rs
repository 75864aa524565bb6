//! The tour of README.md works as written.

use std::env;
use std::process::Stdio;

use tokio::process::Command;

use crate::support::{Fixture, in_time, readme, tool};

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_of_the_readme_works_as_written() {
    let fixture = Fixture::new().await;
    let steps = readme::steps(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"), "A tour with grpcurl");
    let script = readme::script(&steps).replace("127.0.0.1:7070", &fixture.address());
    let tools = tool("bin/grpcurl");
    let path = format!("{}:{}", tools.parent().expect("a folder").display(), env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &script]).env("PATH", path).stdin(Stdio::null()).kill_on_drop(true);
    let output = in_time("the end of the tour", command.output()).await.expect("bash runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}\n{complaints}");
    readme::check(&steps, &printed);
}
