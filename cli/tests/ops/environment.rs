use std::{env, path::Path, process::Command};

use super::{fixture::Fixture, program::Running, steps};

/// The example starts a worker of its own.
#[tokio::test]
async fn the_environment_of_programs_is_as_documented() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/handlers.md");
    let steps = steps::steps(page, "The environment of a program");
    let program = Path::new(env!("CARGO_BIN_EXE_ops"));
    let path = format!("{}:{}", program.parent().unwrap().display(), env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &steps::script(&steps)]);
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OPS_")) {
        command.env_remove(name);
    }
    command.env("PATH", path).env("OPS_SERVER", fixture.address());
    let printed = Running::of(command).end().success();
    steps::check(&steps, &printed);
    assert!(!printed.contains("secret") && !printed.contains("OPS_SERVER"), "{printed}");
}

#[test]
fn a_name_that_no_variable_has_is_refused() {
    let ended = super::program::ops(&["worker", "--pass-env", "PGHOST,A=B"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("expected the name of a variable, such as PGHOST or PG*, got `A=B`"), "{ended:?}");
}
