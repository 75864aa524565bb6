use std::{env, path::Path, process::Command};

use super::{fixture::Fixture, program::Running, steps};

#[tokio::test]
async fn the_commands_in_the_readme_work_as_written() {
    let fixture = Fixture::open().await;
    let steps = steps::steps(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"), "The same with `ops`");
    let program = Path::new(env!("CARGO_BIN_EXE_ops"));
    let path = format!("{}:{}", program.parent().unwrap().display(), env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &steps::script(&steps)]);
    command.env("PATH", path).env("OPS_SERVER", fixture.address());
    let printed = Running::of(command).end().success();
    steps::check(&steps, &printed);
}
