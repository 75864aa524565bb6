//! `ops run enqueue`

use anyhow::{Context, Result};
use proto::v1::{CreateSessionRequest, EnqueueRunRequest, Lane, RunSpec, run_spec::Params};
use serde_json::json;
use tonic::Request;

use super::{filter::labels, wait};
use crate::{
    args::{run::RunEnqueue, target::ServerAddress},
    connection,
    exit::Exit,
    output::{self, Format},
};

pub(super) async fn execute(format: Format, server: &ServerAddress, args: RunEnqueue) -> Result<Exit> {
    let (wait, wait_timeout, new_session) = (args.wait, args.wait_timeout, args.new_session.clone());
    // Files and standard input are read before the program connects.
    let mut spec = spec(args)?;
    let client = connection::connect(server).await?;
    if let Some(name) = new_session {
        // The session has the same request id. With a new session, the repeated call would enqueue another run.
        let request = CreateSessionRequest { name, request_id: spec.request_id.clone(), ..Default::default() };
        let session = client.sessions().create_session(request).await?.into_inner().session.unwrap_or_default();
        output::tell(format_args!("session {}", session.id));
        spec.session_id = session.id;
    }
    let mut request = Request::new(EnqueueRunRequest { run: Some(spec) });
    // In a traced program, such as the handler of a run, the new run joins its trace.
    if let Some(parent) = std::env::var("TRACEPARENT").ok().and_then(|parent| parent.parse().ok()) {
        request.metadata_mut().insert("traceparent", parent);
    }
    let run = client.runs().enqueue_run(request).await?.into_inner().run.unwrap_or_default();
    if !wait {
        output::record(format, &run)?;
        return Ok(Exit::Success);
    }
    output::tell(format_args!("run {}", run.id));
    let run = wait::until_ended(&client, &run.id, wait_timeout).await?;
    output::record(format, &run)?;
    Exit::of_run(&run).context("the server answered a wait with a run that has not ended")
}

fn spec(args: RunEnqueue) -> Result<RunSpec> {
    let (kind, params) = match args.kind {
        Some(kind) => (kind, args.params.map(|params| params.read()).transpose()?),
        None => ("shell".to_owned(), Some(json!({ "argv": args.command }).to_string())),
    };
    Ok(RunSpec {
        session_id: args.session.unwrap_or_default(),
        lane: Lane::from(args.lane).into(),
        priority: args.priority,
        kind,
        params: params.map(Params::ParamsJson),
        labels: labels(args.labels),
        max_attempts: args.max_attempts,
        timeout: args.timeout.map(TryInto::try_into).transpose()?,
        run_after_time: args.run_after.map(|time| prost_types::Timestamp {
            seconds: time.timestamp(),
            nanos: time.timestamp_subsec_nanos().cast_signed(),
        }),
        request_id: args.request_id,
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command, run::RunVerb};

    fn spec_of(line: &[&str]) -> RunSpec {
        let words = ["ops", "run", "enqueue", "--session", "s1"].iter().chain(line);
        let Command::Run(args) = Cli::parse_from(words).command else { panic!("not a run") };
        let RunVerb::Enqueue(enqueue) = args.verb else { panic!("not enqueue") };
        spec(*enqueue).unwrap()
    }

    #[test]
    fn a_command_becomes_a_run_of_kind_shell() {
        let spec = spec_of(&["--lane", "C", "--label", "team=a", "--", "sh", "-c", "echo \"$HOME\""]);
        assert_eq!((spec.kind.as_str(), spec.lane(), spec.session_id.as_str()), ("shell", Lane::C, "s1"));
        assert_eq!(spec.params, Some(Params::ParamsJson(r#"{"argv":["sh","-c","echo \"$HOME\""]}"#.to_owned())));
        assert_eq!(spec.labels["team"], "a");
    }

    #[test]
    fn params_are_sent_unchanged() {
        let spec = spec_of(&["--lane", "A", "--kind", "k", "--params", "{\"n\": 12345678901234567890123}"]);
        assert_eq!(spec.params, Some(Params::ParamsJson("{\"n\": 12345678901234567890123}".to_owned())));
        assert_eq!(spec_of(&["--lane", "A", "--kind", "k"]).params, None);
    }

    #[test]
    fn times_become_those_of_the_contract() {
        let line = ["--lane", "A", "--kind", "k", "--timeout", "1500ms", "--run-after", "2030-01-01T00:00:00.25Z"];
        let spec = spec_of(&line);
        assert_eq!(spec.timeout, Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }));
        assert_eq!(spec.run_after_time, Some(prost_types::Timestamp { seconds: 1_893_456_000, nanos: 250_000_000 }));
        assert_eq!(spec.max_attempts, None);
    }
}
