//! `ops run logs`

use anyhow::Result;
use client::Client;
use proto::v1::{EventLevel, ListRunEventsRequest, RunEvent, TailRunEventsRequest};

use crate::{
    args::run::RunLogs,
    connection,
    exit::Exit,
    output::{self, Format},
};

/// The server's largest page.
const PAGE_SIZE: i32 = 1_000;

pub(super) async fn execute(format: Format, client: Client, args: RunLogs) -> Result<Exit> {
    let min_level = args.level.map_or(EventLevel::Unspecified, EventLevel::from).into();
    if args.follow {
        tail(format, &client, args.run_id, min_level).await
    } else {
        list(format, client, args.run_id, min_level).await
    }
}

async fn list(format: Format, client: Client, run_id: String, min_level: i32) -> Result<Exit> {
    let mut page_token = String::new();
    loop {
        let request = ListRunEventsRequest { run_id: run_id.clone(), min_level, page_size: PAGE_SIZE, page_token };
        let page = client.runs().list_run_events(request).await?.into_inner();
        print(format, &page.events)?;
        if page.next_page_token.is_empty() {
            return Ok(Exit::Success);
        }
        page_token = page.next_page_token;
    }
}

async fn tail(format: Format, client: &Client, run_id: String, min_level: i32) -> Result<Exit> {
    let request = TailRunEventsRequest { run_id, min_level, resume_token: String::new() };
    let mut feed = client.follow_events(request, connection::retry_budget());
    while let Some(events) = feed.next().await? {
        print(format, &events)?;
    }
    Ok(Exit::Success)
}

fn print(format: Format, events: &[RunEvent]) -> Result<()> {
    match format {
        Format::Table => output::print(events.iter().flat_map(output::event_bytes).collect::<Vec<u8>>()),
        Format::Json => events.iter().try_for_each(|event| output::print_json("RunEvent", event, true)),
        Format::Jsonl => events.iter().try_for_each(|event| output::print_json("RunEvent", event, false)),
        Format::Id => events.iter().try_for_each(|event| output::print(format!("{}\n", event.id))),
    }
}
