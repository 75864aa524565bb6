//! Follows a run's log: sends the events so far, then each new one, until the run has ended.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use crate::edge::caller::Caller;
use crate::services::run::runs::Runs;
use crate::services::run::watch::{audibly, send_last, until_answered};
use engine::EngineError;
use engine::domain::Refusal;
use engine::domain::event::{EventLevel, EventPosition, RunEvent};
use engine::domain::weight::{MESSAGE_BYTES, messages};
use engine::store::event::read::event_list;
use engine::watch::subscriber::Interest;

/// Events that one statement reads.
const PAGE: i64 = 200;

/// Messages that may wait in a stream for its reader.
const STREAM_MESSAGES: usize = 4;

/// Events, and the token that resumes after them.
pub type TailPage = (Vec<RunEvent>, String);

impl Runs {
    /// Streams a run's events.
    pub async fn tail(
        &self,
        caller: Caller,
        run_id: Uuid,
        min_level: EventLevel,
        resume_token: Option<String>,
    ) -> Result<ReceiverStream<Result<TailPage, EngineError>>, EngineError> {
        let after = resume_token.map_or(Ok(EventPosition::default()), |token| decode(&token, run_id))?;
        self.get(&caller, run_id).await?;
        let subscription = self.engine.hub.subscribe(caller.tenant.clone(), Interest::Run(run_id)).await;
        let (pages, stream) = mpsc::channel(STREAM_MESSAGES);
        let (runs, shutdown) = (self.clone(), self.shutdown.clone());
        self.streams.spawn(async move {
            let follow = async {
                let mut after = after;
                // What is sent when no event comes for long.
                let nothing = |after| move || Ok((Vec::new(), encode(after, run_id)));
                loop {
                    // The status is read before the events: after a run has ended, no event is added.
                    let run = audibly(&pages, nothing(after), until_answered(|| runs.get(&caller, run_id))).await?;
                    let ended = run.status.is_terminal();
                    let page = until_answered(|| runs.event_page(&caller, run_id, min_level, after));
                    let page = audibly(&pages, nothing(after), page).await?;
                    let full = page.len() as i64 == PAGE;
                    for message in messages(page, MESSAGE_BYTES) {
                        after = message.last().map_or(after, |last| last.position);
                        if pages.send(Ok((message, encode(after, run_id)))).await.is_err() {
                            return Ok(());
                        }
                    }
                    if full {
                        continue;
                    }
                    if ended {
                        return Ok(());
                    }
                    audibly(&pages, nothing(after), subscription.awaited()).await;
                    if subscription.take().anew {
                        return Err(Refusal::RevisionCompacted.into());
                    }
                }
            };
            let ended = tokio::select! {
                ended = follow => ended,
                () = shutdown.cancelled() => Err(EngineError::ShuttingDown),
                () = pages.closed() => return,
            };
            if let Err(error) = ended {
                send_last(&pages, Err(error)).await;
            }
        });
        Ok(ReceiverStream::new(stream))
    }

    async fn event_page(
        &self,
        caller: &Caller,
        run_id: Uuid,
        min_level: EventLevel,
        after: EventPosition,
    ) -> Result<Vec<RunEvent>, EngineError> {
        let read = self.engine.db(caller.class).list(caller.tenant.clone(), move |c, tenant| {
            event_list(c, tenant, run_id, after, min_level, PAGE).boxed()
        });
        Ok(read.await?)
    }
}

fn encode(position: EventPosition, run_id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(format!("1 {run_id} {} {}", position.fence, position.seq))
}

fn decode(token: &str, run_id: Uuid) -> Result<EventPosition, Refusal> {
    let invalid = Refusal::ResumeTokenInvalid;
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid.clone())?;
    let text = String::from_utf8(bytes).map_err(|_| invalid.clone())?;
    let parts: Vec<&str> = text.split(' ').collect();
    let ["1", run, fence, seq] = parts.as_slice() else { return Err(invalid) };
    if *run != run_id.to_string() {
        return Err(invalid);
    }
    let number = |text: &str| text.parse::<i64>().map_err(|_| invalid.clone());
    Ok(EventPosition { fence: number(fence)?, seq: number(seq)? })
}
