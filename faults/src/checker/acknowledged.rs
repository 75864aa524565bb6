//! Acknowledged requests are stored, refused ones are not, and one in doubt is stored as a whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::evidence::Evidence;
use super::verdict::{Proof, Violation};
use crate::history::{Asked, Event, What};

/// The violations of the promise.
pub fn violations(evidence: &Evidence<'_>) -> Vec<Violation> {
    let requests = requests(evidence);
    let mut found = sessions(evidence);
    found.extend(requests.iter().flat_map(|request| judge_request(evidence, request)));
    found.extend(request_ids(evidence, &requests));
    found.extend(by_sql(evidence));
    found.extend(unexpected_runs(evidence));
    found
}

/// One request, perhaps by several calls with the same request id.
struct Request<'a> {
    request_id: Option<&'a str>,
    session: Uuid,
    runs: &'a [Asked],
    calls: Vec<Call<'a>>,
}

struct Call<'a> {
    asked: &'a Event,
    end: Option<&'a Event>,
}

impl Request<'_> {
    fn answers(&self) -> impl Iterator<Item = (&Event, &[Uuid])> {
        self.calls.iter().filter_map(|call| match call.end {
            Some(event @ Event { what: What::EnqueueAnswered { ids, .. }, .. }) => Some((event, ids.as_slice())),
            _ => None,
        })
    }

    /// Whether the answer to each call says that the server did nothing.
    fn all_refused(&self) -> bool {
        let refused = |end: &Event| matches!(end.what, What::EnqueueRefused { definite: true, .. });
        self.calls.iter().all(|call| call.end.is_some_and(refused))
    }

    fn lines(&self) -> Vec<Event> {
        self.calls.iter().flat_map(|call| [Some(call.asked), call.end]).flatten().cloned().collect()
    }
}

fn requests<'a>(evidence: &Evidence<'a>) -> Vec<Request<'a>> {
    let ends: BTreeMap<&str, &Event> = evidence
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::EnqueueAnswered { call, .. } | What::EnqueueRefused { call, .. } => Some((call.as_str(), event)),
            _ => None,
        })
        .collect();
    let mut requests: Vec<Request<'_>> = Vec::new();
    for event in evidence.events {
        let What::EnqueueAsked { call, session, request_id, runs } = &event.what else { continue };
        let call = Call { asked: event, end: ends.get(call.as_str()).copied() };
        let request_id = request_id.as_deref();
        // The same id with other runs is another request, which the server must refuse.
        let same =
            |it: &&mut Request<'_>| request_id.is_some() && it.request_id == request_id && it.runs == runs.as_slice();
        match requests.iter_mut().find(same) {
            Some(request) => request.calls.push(call),
            None => requests.push(Request { request_id, session: *session, runs, calls: vec![call] }),
        }
    }
    requests
}

fn judge_request(evidence: &Evidence<'_>, request: &Request<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut broken = |what: String| found.push(Violation::new(Proof::Acknowledged, what, request.lines()));
    let there: Vec<_> = request.runs.iter().filter(|run| evidence.keys.contains_key(run.key.as_str())).collect();
    let mut answered = request.answers().peekable();
    if answered.peek().is_none() {
        if request.all_refused() && !there.is_empty() {
            broken(format!("{} was refused, and is in the database", names(&there)));
        } else if !there.is_empty() && there.len() < request.runs.len() {
            let all: Vec<_> = request.runs.iter().collect();
            broken(format!("of one call for {}, only {} is in the database", names(&all), names(&there)));
        }
    }
    let mut first: Option<&[Uuid]> = None;
    for (event, ids) in answered {
        let actor = &event.actor;
        if ids.len() != request.runs.len() {
            broken(format!("{actor} asked for {} runs and was answered with {} ids", request.runs.len(), ids.len()));
        }
        if *first.get_or_insert(ids) != ids {
            broken(format!("one request id was answered with different runs: {first:?} and {ids:?}"));
        }
        for (asked, id) in request.runs.iter().zip(ids) {
            let key = &asked.key;
            let Some(run) = evidence.runs.get(id) else {
                broken(format!("run {id} ({key}) was acknowledged to {actor}, and is not in the database"));
                continue;
            };
            if run.labels.get("key") != Some(key) {
                broken(format!("run {id} was acknowledged to {actor} as {key}, and is another: {:?}", run.labels));
            }
            if run.session != request.session || run.max_attempts != asked.max_attempts {
                broken(format!(
                    "run {id} ({key}) was asked for in session {} with {} attempts, and is in {} with {}",
                    request.session, asked.max_attempts, run.session, run.max_attempts
                ));
            }
        }
    }
    found
}

fn names(runs: &[&Asked]) -> String {
    runs.iter().map(|run| run.key.as_str()).collect::<Vec<_>>().join(", ")
}

/// One request id makes one set of runs.
fn request_ids(evidence: &Evidence<'_>, requests: &[Request<'_>]) -> Vec<Violation> {
    let mut made: BTreeMap<&str, Vec<&Request<'_>>> = BTreeMap::new();
    for request in requests {
        if let Some(id) = request.request_id
            && request.runs.iter().any(|run| evidence.keys.contains_key(run.key.as_str()))
        {
            made.entry(id).or_default().push(request);
        }
    }
    let twice = made.into_iter().filter(|(_, requests)| requests.len() > 1);
    twice
        .map(|(id, requests)| {
            let what = format!("request id {id} made {} different sets of runs", requests.len());
            Violation::new(Proof::Acknowledged, what, requests.iter().flat_map(|request| request.lines()))
        })
        .collect()
}

fn sessions(evidence: &Evidence<'_>) -> Vec<Violation> {
    let lost = evidence.events.iter().filter_map(|event| match event.what {
        What::SessionCreated { session } if !evidence.sessions.contains_key(&session) => {
            let what = format!("session {session} was acknowledged to {}, and is not in the database", event.actor);
            Some(Violation::new(Proof::Acknowledged, what, [event.clone()]))
        }
        _ => None,
    });
    lost.collect()
}

/// Enqueued in a client's transaction: stored if and only if it was committed.
fn by_sql(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for event in evidence.events {
        let What::SqlEnqueued { session, key, id, committed } = &event.what else { continue };
        let runs = evidence.keys.get(key.as_str()).map(Vec::as_slice).unwrap_or_default();
        let right = runs.iter().any(|run| (id.is_none() || *id == Some(run.id)) && run.session == *session);
        let what = match committed {
            Some(true) if !right => format!("{key} was committed with ops.enqueue_run(), and is not in the database"),
            Some(false) if !runs.is_empty() => format!("{key} was rolled back, and is in the database"),
            _ => continue,
        };
        found.push(Violation::new(Proof::Acknowledged, what, [event.clone()]));
    }
    found
}

/// Runs that no client requested, and runs that were stored twice.
fn unexpected_runs(evidence: &Evidence<'_>) -> Vec<Violation> {
    let asked: BTreeSet<&str> = evidence
        .events
        .iter()
        .flat_map(|event| match &event.what {
            What::EnqueueAsked { runs, .. } => runs.iter().map(|run| run.key.as_str()).collect(),
            What::SqlAsked { key, .. } | What::SqlEnqueued { key, .. } => vec![key.as_str()],
            _ => Vec::new(),
        })
        .collect();
    let mut found = Vec::new();
    for (key, runs) in &evidence.keys {
        let ids: Vec<Uuid> = runs.iter().map(|run| run.id).collect();
        let lines = || ids.iter().flat_map(|id| evidence.about(*id));
        if !asked.contains(key) {
            let what = format!("no client requested {key:?}, and it is in the database: {ids:?}");
            found.push(Violation::new(Proof::Acknowledged, what, lines()));
        }
        if runs.len() > 1 {
            let what = format!("{key} was asked for once, and is in the database {} times: {ids:?}", runs.len());
            found.push(Violation::new(Proof::Acknowledged, what, lines()));
        }
    }
    found
}
