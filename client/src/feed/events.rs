//! The log of a run.

use proto::v1::{RunEvent, TailRunEventsRequest, TailRunEventsResponse};
use tonic::{Status, Streaming};

use crate::{Client, RetryBudget};

/// The events of one run, until it has ended.
#[derive(Debug)]
pub struct EventFeed {
    client: Client,
    request: TailRunEventsRequest,
    stream: Option<Streaming<TailRunEventsResponse>>,
    budget: RetryBudget,
}

impl Client {
    /// Reads a run's events: those that are there, then each as it comes. The first call is made by [`EventFeed::next`].
    #[must_use]
    pub fn follow_events(&self, request: TailRunEventsRequest, budget: RetryBudget) -> EventFeed {
        EventFeed { client: self.clone(), request, stream: None, budget }
    }
}

impl EventFeed {
    /// The next events, in order; none once the run has ended and all were read. May be dropped while it waits.
    ///
    /// # Errors
    /// A retry can not help, or the budget is spent.
    pub async fn next(&mut self) -> Result<Option<Vec<RunEvent>>, Status> {
        loop {
            let lost = match &mut self.stream {
                Some(stream) => match stream.message().await {
                    Ok(Some(message)) => {
                        self.budget.renew();
                        self.request.resume_token = message.resume_token;
                        return Ok(Some(message.events));
                    }
                    Ok(None) => return Ok(None),
                    Err(status) => status,
                },
                None => match self.client.runs().tail_run_events(self.request.clone()).await {
                    Ok(answer) => {
                        self.stream = Some(answer.into_inner());
                        continue;
                    }
                    Err(status) => status,
                },
            };
            self.stream = None;
            self.budget.wait(lost).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fake::Fake;

    fn events(ids: &[&str], token: &str) -> Result<TailRunEventsResponse, Status> {
        let events = ids.iter().map(|id| RunEvent { id: (*id).to_owned(), ..RunEvent::default() }).collect();
        Ok(TailRunEventsResponse { events, resume_token: token.to_owned() })
    }

    #[tokio::test]
    async fn a_log_that_is_cut_goes_on_after_the_last_event_and_ends_with_the_run() {
        let fake = Fake::of_tails(vec![
            Err(Status::unavailable("not there yet")),
            Ok(vec![events(&["a", "b"], "t1"), Err(Status::unavailable("cut"))]),
            Ok(vec![events(&["c"], "t2")]),
        ]);
        let (fake, client, _task) = fake.serve().await;
        let request = TailRunEventsRequest { run_id: "0190".to_owned(), ..TailRunEventsRequest::default() };
        let mut feed = client.follow_events(request, RetryBudget::new(Duration::from_secs(60)));
        let mut seen = Vec::new();
        while let Some(events) = feed.next().await.unwrap() {
            seen.extend(events.into_iter().map(|event| event.id));
        }
        assert_eq!(seen, ["a", "b", "c"]);
        assert_eq!(fake.tail_tokens(), ["", "", "t1"]);
    }

    #[tokio::test]
    async fn a_run_that_does_not_exist_has_no_log() {
        let (_fake, client, _task) = Fake::of_tails(vec![Err(Status::not_found("no such run"))]).serve().await;
        let mut feed = client.follow_events(TailRunEventsRequest::default(), RetryBudget::new(Duration::from_secs(60)));
        assert_eq!(feed.next().await.unwrap_err().code(), tonic::Code::NotFound);
    }
}
