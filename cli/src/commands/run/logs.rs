//! `ops run logs`

use anyhow::Result;
use proto::v1::{EventLevel, ListRunEventsRequest, RunEvent, TailRunEventsRequest};

use crate::{
    args::run::RunLogs,
    client::Client,
    exit::Exit,
    output::{self, Format},
    patience::Patience,
};

/// The largest page that the server gives.
const PAGE_SIZE: i32 = 1_000;

pub(super) async fn execute(format: Format, client: Client, args: RunLogs) -> Result<Exit> {
    let min_level = args.level.map_or(EventLevel::Unspecified, EventLevel::from).into();
    if args.follow {
        tail(format, client, args.run_id, min_level).await
    } else {
        list(format, client, args.run_id, min_level).await
    }
}

async fn list(format: Format, mut client: Client, run_id: String, min_level: i32) -> Result<Exit> {
    let mut page_token = String::new();
    loop {
        let request = ListRunEventsRequest { run_id: run_id.clone(), min_level, page_size: PAGE_SIZE, page_token };
        let page = client.runs.list_run_events(request).await?.into_inner();
        print(format, &page.events)?;
        if page.next_page_token.is_empty() {
            return Ok(Exit::Success);
        }
        page_token = page.next_page_token;
    }
}

/// A stream that is cut goes on after the last event that was printed.
async fn tail(format: Format, mut client: Client, run_id: String, min_level: i32) -> Result<Exit> {
    let mut resume_token = String::new();
    let mut patience = Patience::default();
    loop {
        let request = TailRunEventsRequest { run_id: run_id.clone(), min_level, resume_token: resume_token.clone() };
        let cut = match client.runs.tail_run_events(request).await {
            Err(status) => status,
            Ok(answer) => {
                let mut stream = answer.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => {
                            patience.renew();
                            print(format, &message.events)?;
                            resume_token = message.resume_token;
                        }
                        Ok(None) => return Ok(Exit::Success),
                        Err(status) => break status,
                    }
                }
            }
        };
        patience.bear(cut).await?;
    }
}

fn print(format: Format, events: &[RunEvent]) -> Result<()> {
    match format {
        Format::Table => output::print(events.iter().flat_map(output::event_bytes).collect::<Vec<u8>>()),
        Format::Json => events.iter().try_for_each(|event| output::print_json("RunEvent", event, true)),
        Format::Jsonl => events.iter().try_for_each(|event| output::print_json("RunEvent", event, false)),
        Format::Id => events.iter().try_for_each(|event| output::print(format!("{}\n", event.id))),
    }
}
