//! What can happen. Each variant is one sentence of one actor, about what it did or saw itself.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{FaultClass, Status};

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// See [`now_us`](super::now_us).
    pub at_us: i64,
    pub actor: String,
    pub what: What,
}

// Tagged from outside: with numbers of arbitrary precision, serde_json can not read numbers in enums that are tagged inside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    // ---- by clients ----
    SessionCreated {
        session: Uuid,
    },
    /// Written before the call is sent. `call` is unique in the run's history.
    EnqueueAsked {
        call: String,
        session: Uuid,
        request_id: Option<String>,
        runs: Vec<Asked>,
    },
    /// In the order of what was asked for.
    EnqueueAnswered {
        call: String,
        ids: Vec<Uuid>,
    },
    /// `definite`: the server said that nothing was done. Anything else is in doubt: all of it was done, or nothing.
    EnqueueRefused {
        call: String,
        code: String,
        reason: String,
        definite: bool,
    },
    /// Written before `ops.enqueue_run()` is called in a transaction of the client's own.
    SqlAsked {
        session: Uuid,
        key: String,
    },
    /// How that transaction ended; `committed` is none when the answer to its COMMIT was lost.
    SqlEnqueued {
        session: Uuid,
        key: String,
        id: Option<Uuid>,
        committed: Option<bool>,
    },
    CancelAsked {
        run: Uuid,
    },
    /// `status` is that of the run in the answer.
    CancelAnswered {
        run: Uuid,
        status: Status,
    },
    CancelFailed {
        run: Uuid,
        code: String,
    },
    /// In the answer of any call that gives a run.
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
    /// A stream was opened; `resumed` if by a token, and otherwise it begins with a snapshot.
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
    /// Everything has ended, and the watcher has had a bookmark since.
    WatchSettled {
        watcher: String,
    },

    /// Said by the lab: the run was committed long ago, has not changed since, and all faults are over, so by now everybody who
    /// followed at the time of its commit must have been told of it.
    WatchDue {
        run: Uuid,
    },

    // ---- by workers ----
    /// The actor of a worker's events is the worker; `process` is its pid.
    WorkerBegan {
        worker: String,
        process: u32,
    },
    /// The first thing that a handler does. `key` is what the run's params hold.
    ExecutionBegan {
        run: Uuid,
        fence: i64,
        attempt: i32,
        key: String,
    },
    /// The last thing that a handler does. `token` is unique and goes with the outcome: in a result as `token`, in an error as
    /// `context.token`.
    ExecutionEnded {
        run: Uuid,
        fence: i64,
        token: String,
        outcome: Outcome,
    },
    /// Only a worker that speaks the protocol itself sees this.
    ReportAnswered {
        run: Uuid,
        fence: i64,
        token: String,
        verdict: Verdict,
    },

    // ---- by the lab ----
    /// `target` is the actor that it is done to.
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
    /// The lab stopped waiting: every run had ended, or the time to settle was over.
    Settled {
        in_time: bool,
    },
}

/// One run of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Unique in the run's history, and kept in params and labels as `key`: so a run is found though its id was never answered.
    pub key: String,
    pub max_attempts: i32,
}

/// As the server answers them: how many there were ever, and how many of them have ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub total: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub cancelled: i64,
}

/// What a watcher asked for; what is empty restricts nothing.
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

/// What a handler ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    /// For good.
    Failed,
    /// To be tried again, if there is an attempt left.
    Retry,
    Cancelled,
    Snoozed,
}

/// What the server said to a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Accepted,
    LeaseLost,
    Conflict,
    Refused(String),
}
