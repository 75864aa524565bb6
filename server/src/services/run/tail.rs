//! Follows a run's log: sends the events so far, then each new one, until the run has ended.

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use crate::edge::caller::Caller;
use crate::services::run::runs::Runs;
use crate::services::run::watch::{audibly, send_last, until_answered};
use engine::EngineError;
use engine::domain::event::{EventLevel, EventPosition, RunEvent};
use engine::domain::tail::{Gap, TailPosition, TailStep};
use engine::domain::weight::{MESSAGE_BYTES, messages};
use engine::domain::{Refusal, token};
use engine::store::event::tail::{event_in_gaps, event_tail};
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
        let mut at = resume_token.map_or(Ok(TailPosition::default()), |token| decode(&token, run_id))?;
        self.get(&caller, run_id).await?;
        let subscription = self.engine.hub.subscribe(caller.tenant.clone(), Interest::Run(run_id)).await;
        let (pages, stream) = mpsc::channel(STREAM_MESSAGES);
        let (runs, shutdown) = (self.clone(), self.shutdown.clone());
        self.streams.spawn(async move {
            let follow = async {
                // What is sent when no event comes for long.
                let nothing = |at: &TailPosition| {
                    let token = encode(at, run_id);
                    move || Ok((Vec::new(), token.clone()))
                };
                loop {
                    // The status is read before the events: after a run has ended, no event is added.
                    let run = audibly(&pages, nothing(&at), until_answered(|| runs.get(&caller, run_id))).await?;
                    let ended = run.status.is_terminal();
                    // The gaps are read before the page, which may find new ones.
                    let late = match at.gaps() {
                        [] => Vec::new(),
                        gaps => {
                            let late = until_answered(|| runs.events_in(&caller, run_id, min_level, gaps));
                            audibly(&pages, nothing(&at), late).await?
                        }
                    };
                    let more_late = late.len() as i64 == PAGE;
                    let has_reader = deliver(&pages, run_id, &mut at, late).await;
                    let last = at.last();
                    let page = until_answered(|| runs.events_after(&caller, run_id, min_level, last));
                    let page = audibly(&pages, nothing(&at), page).await?;
                    let full = page.len() as i64 == PAGE;
                    if !has_reader || !deliver(&pages, run_id, &mut at, page).await {
                        return Ok(());
                    }
                    if full || more_late {
                        continue;
                    }
                    if ended {
                        return Ok(());
                    }
                    audibly(&pages, nothing(&at), subscription.awaited()).await;
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

    async fn events_after(
        &self,
        caller: &Caller,
        run_id: Uuid,
        min_level: EventLevel,
        after: EventPosition,
    ) -> Result<Vec<TailStep>, EngineError> {
        let read = self.engine.db(caller.class).list(caller.tenant.clone(), move |c, tenant| {
            event_tail(c, tenant, run_id, after, min_level, PAGE).boxed()
        });
        Ok(read.await?)
    }

    async fn events_in(
        &self,
        caller: &Caller,
        run_id: Uuid,
        min_level: EventLevel,
        gaps: &[Gap],
    ) -> Result<Vec<TailStep>, EngineError> {
        let input = (caller.tenant.clone(), gaps.to_vec());
        let read = self
            .engine
            .db(caller.class)
            .read(input, move |c, (tenant, gaps)| event_in_gaps(c, tenant, run_id, gaps, min_level, PAGE).boxed());
        Ok(read.await?)
    }
}

/// Sends the events of these steps. Each message has the token of the position after it. False if the reader has gone.
async fn deliver(
    pages: &mpsc::Sender<Result<TailPage, EngineError>>,
    run_id: Uuid,
    at: &mut TailPosition,
    mut steps: Vec<TailStep>,
) -> bool {
    let events: Vec<RunEvent> = steps.iter_mut().filter_map(|step| step.event.take()).collect();
    let mut steps = steps.into_iter().peekable();
    for message in messages(events, MESSAGE_BYTES) {
        let last = message.last().map_or(at.last(), |last| last.position);
        while let Some(step) = steps.next_if(|step| step.position <= last) {
            at.step(step.position, step.before);
        }
        if pages.send(Ok((message, encode(at, run_id)))).await.is_err() {
            return false;
        }
    }
    steps.for_each(|step| at.step(step.position, step.before));
    true
}

fn encode(position: &TailPosition, run_id: Uuid) -> String {
    token::seal(format!("2 {run_id} {position}").as_bytes())
}

fn decode(token: &str, run_id: Uuid) -> Result<TailPosition, Refusal> {
    let read = || {
        let text = String::from_utf8(token::open(token)?).ok()?;
        TailPosition::parse(text.strip_prefix(&format!("2 {run_id} "))?)
    };
    read().ok_or(Refusal::ResumeTokenInvalid)
}
