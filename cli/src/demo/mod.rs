//! The demonstration: it enqueues real runs through the public API and watches them. One run fails, one is cancelled
//! while it runs. Then it prints measurements, and commands to try by hand. It checks the runs, and fails with a
//! message if one does not end as expected.
//!
//! [`work`] has the runs, [`stage`] enqueues and watches them, [`summary`] prints the measurements, [`handout`] the
//! commands.

use std::{
    env,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use client::Client;
use proto::v1::{
    Artifact, CloseSessionRequest, CreateArtifactRequest, CreateSessionRequest, GetArtifactRequest, GetSessionRequest,
    Session, SessionStatus, artifact, create_artifact_request,
};

use crate::{args::target::ServerAddress, connection, output};

mod folders;
mod handout;
mod log;
mod stage;
mod summary;
mod work;

use folders::Folders;
use stage::Stage;
use summary::Summary;
use work::{PIECES, REPORT};

/// The demonstration takes a few seconds. After this limit it fails and says what it waits for.
const LIMIT: Duration = Duration::from_secs(60);
/// The time between two reads of a closed session that is not completed yet.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The number of runs that measure the time from enqueue to start on an idle worker.
const PROBES: usize = 10;

/// Runs the demonstration on the server at `address`. Its worker is on this machine, has the kinds `shell` and `http`,
/// and this many slots.
pub(crate) async fn perform(address: &ServerAddress, slots: usize) -> Result<()> {
    let folders = Folders::make()?;
    let client = connection::connect(address).await?;
    let session = create_session(&client, "demonstration").await?;
    output::print(format!("\nSession {} ({}), watched from here on:\n\n", session.id, session.name))?;

    let deadline = Instant::now() + LIMIT;
    let mut stage = Stage::open(&client, &session.id, deadline).await?;
    let queued = stage.enqueue_all(&client, &folders).await?;
    let cancelled_in = stage.cancel_endless(&client, slots).await?;
    stage.until_ended(&queued).await?;
    stage.check(&PIECES)?;
    stage.ask_health(&client, address).await?;

    let report = stage.enqueue(&client, &REPORT, &folders).await?;
    stage.check(&[REPORT])?;
    let text = log::read(&client, &report).await?;
    let artifact = store(&client, &report, &text).await?;

    output::print(format!("\n{PROBES} more, one by one, while the worker has nothing else to do:\n\n"))?;
    let probes = stage.probe(&client, &folders, PROBES).await?;
    let session = close(&client, session, deadline).await?;
    stage.check_counters(&session)?;

    output::print(format!("\n{text}"))?;
    let summary = Summary {
        session: &session,
        artifact: &artifact,
        queued_starts: stage.starts(&queued),
        idle_starts: stage.starts(&probes),
        cancelled_in,
        took: stage.elapsed(),
    };
    output::print(summary.text())?;

    let open = create_session(&client, "by hand").await?;
    let failed = stage.run("price-check").context("the failing run was not seen")?;
    output::print(handout::text(&program_folders(), address, &session, &open, failed, &artifact))
}

/// Where this program is, and where `make tools` puts grpcurl.
fn program_folders() -> Vec<PathBuf> {
    let own = env::current_exe().ok().and_then(|program| Some(program.parent()?.to_owned()));
    let tools = env::current_dir().ok().map(|folder| folder.join(".tools/bin"));
    own.into_iter().chain(tools).collect()
}

async fn create_session(client: &Client, name: &str) -> Result<Session> {
    let request =
        CreateSessionRequest { name: name.to_owned(), triggered_by: "ops dev --demo".to_owned(), ..Default::default() };
    let answer = client.sessions().create_session(request).await.context("can not create a session")?;
    answer.into_inner().session.context("the server created no session")
}

/// Closes the session, and waits until the server has completed it.
async fn close(client: &Client, session: Session, deadline: Instant) -> Result<Session> {
    let request = CloseSessionRequest { session_id: session.id.clone() };
    client.sessions().close_session(request).await.context("can not close the session")?;
    loop {
        let request = GetSessionRequest { session_id: session.id.clone() };
        let answer = client.sessions().get_session(request).await.context("can not read the session")?;
        let session = answer.into_inner().session.context("the server has no session")?;
        match session.status() {
            SessionStatus::Completed => return Ok(session),
            status if Instant::now() > deadline => {
                bail!(
                    "the session is closed and its runs have ended, but it is {} and not completed",
                    status.as_str_name()
                )
            }
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// Stores the report as an artifact, and reads it back.
async fn store(client: &Client, run_id: &str, text: &str) -> Result<Artifact> {
    let request = CreateArtifactRequest {
        run_id: run_id.to_owned(),
        kind: "report".to_owned(),
        name: "report.md".to_owned(),
        mime_type: "text/markdown".to_owned(),
        content: Some(create_artifact_request::Content::ContentText(text.to_owned())),
        ..Default::default()
    };
    let answer = client.artifacts().create_artifact(request).await.context("can not store the report")?;
    let artifact = answer.into_inner().artifact.context("the server stored no artifact")?;
    let request = GetArtifactRequest { artifact_id: artifact.id.clone() };
    let answer = client.artifacts().get_artifact(request).await.context("can not read the report back")?;
    let read = answer.into_inner().artifact.and_then(|artifact| artifact.content);
    ensure!(
        read == Some(artifact::Content::ContentText(text.to_owned())),
        "the artifact {} came back with another text",
        artifact.id
    );
    Ok(artifact)
}
