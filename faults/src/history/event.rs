//! The events of a history. Each is an action or an observation of one actor.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{FaultClass, Status};

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// From [`now_us`](super::now_us).
    pub at_us: i64,
    pub actor: String,
    pub what: What,
}

// Externally tagged: with numbers of arbitrary precision serde_json can not read numbers in internally tagged enums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    // ---- by clients ----
    SessionCreated {
        session: Uuid,
    },
    /// Recorded before the call is sent. `call` is unique in the history of the run.
    EnqueueAsked {
        call: String,
        session: Uuid,
        request_id: Option<String>,
        runs: Vec<Asked>,
    },
    /// In the order of the request.
    EnqueueAnswered {
        call: String,
        ids: Vec<Uuid>,
    },
    /// `definite`: the server said that it did nothing. Otherwise the call is in doubt: the server did all of it, or
    /// nothing.
    EnqueueRefused {
        call: String,
        code: String,
        reason: String,
        definite: bool,
    },
    /// Recorded before `ops.enqueue_run()` is called in a client's transaction.
    SqlAsked {
        session: Uuid,
        key: String,
    },
    /// How that transaction ended. `committed` is none if the answer to its COMMIT was lost.
    SqlEnqueued {
        session: Uuid,
        key: String,
        id: Option<Uuid>,
        committed: Option<bool>,
    },
    CancelAsked {
        run: Uuid,
    },
    /// `status` is the run's status in the answer.
    CancelAnswered {
        run: Uuid,
        status: Status,
    },
    CancelFailed {
        run: Uuid,
        code: String,
    },
    /// A run in the answer of any call.
    RunSeen {
        run: Uuid,
        status: Status,
        revision: i64,
        fence: i64,
        attempt: i32,
    },
    CountersSeen {
        session: Uuid,
        counters: Counters,
    },

    // ---- by watchers ----
    /// A stream was opened: by a token if `resumed`, otherwise with a snapshot.
    WatchOpened {
        watcher: String,
        filter: Filter,
        resumed: bool,
    },
    WatchSaw {
        watcher: String,
        run: Uuid,
        revision: i64,
        status: Status,
        attempt: i32,
        fence: i64,
    },
    WatchDeleted {
        watcher: String,
        run: Uuid,
    },
    WatchLeftFilter {
        watcher: String,
        run: Uuid,
    },
    WatchBookmark {
        watcher: String,
    },
    WatchLost {
        watcher: String,
        code: String,
    },
    /// All runs have ended, and the watcher has received a bookmark since.
    WatchSettled {
        watcher: String,
    },

    /// From the lab: the run was committed long ago, has not changed since, and all faults are over. So every watcher
    /// that followed at the time of the commit must have seen it by now.
    WatchDue {
        run: Uuid,
    },

    // ---- by workers ----
    /// The actor of a worker's events is the worker; `process` is its pid.
    WorkerBegan {
        worker: String,
        process: u32,
    },
    /// The first action of a handler. `key` is the one in the params of the run.
    ExecutionBegan {
        run: Uuid,
        fence: i64,
        attempt: i32,
        key: String,
    },
    /// The last action of a handler. `token` is unique and part of the outcome: in a result as `token`, in an error as
    /// `context.token`.
    ExecutionEnded {
        run: Uuid,
        fence: i64,
        token: String,
        outcome: Outcome,
    },
    /// Only workers that speak the protocol themselves see this.
    ReportAnswered {
        run: Uuid,
        fence: i64,
        token: String,
        verdict: Verdict,
    },

    // ---- by the lab ----
    /// `target` is the actor that the fault hits.
    FaultBegan {
        fault: FaultClass,
        target: String,
        detail: String,
    },
    FaultEnded {
        fault: FaultClass,
        target: String,
    },
    ServerStarted {
        server: String,
        pid: u32,
    },
    ServerEnded {
        server: String,
        pid: u32,
        why: String,
    },
    /// All faults are over.
    Quiet,
    /// The lab stops waiting: every run has ended, or the time to settle is over.
    Settled {
        in_time: bool,
    },
}

/// One run of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Unique in the history, and kept in params and labels as `key`, so that a run is found even if no answer had its
    /// id.
    pub key: String,
    pub max_attempts: i32,
}

/// The counters of a session as a server answers them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub total: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub cancelled: i64,
}

/// The filter of a watcher. An empty field restricts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    pub session: Option<Uuid>,
    #[serde(default)]
    pub lanes: Vec<String>,
    #[serde(default)]
    pub kinds: Vec<String>,
    #[serde(default)]
    pub statuses: Vec<Status>,
}

/// The outcome of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    /// Without a retry.
    Failed,
    /// With a retry, if an attempt is left.
    Retry,
    Cancelled,
    Snoozed,
}

/// The server's answer to a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Accepted,
    LeaseLost,
    Conflict,
    Refused(String),
}
