//! Server processes whose connection was given up, for example because a statement missed its deadline.
//!
//! A deadline at the client does not end the server's side: a commit that waits for a synchronous standby, or a statement in an extension,
//! goes on. Each such process is cancelled and then terminated over a connection of its own, and holds its slot until it is gone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::db::StoreError;
use crate::db::opening::{Backend, Opener};

/// The time between two looks at the processes that are left.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long a cancelled process may take until it is terminated.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(4);

/// Ends the processes that are still there, and returns them. A process is ours only if it began when ours did: the number may belong to
/// another one by now.
const END: &str = "SELECT a.pid, a.backend_start::text, coalesce(a.wait_event, ''), coalesce(a.state, ''),
       CASE WHEN b.harshly THEN pg_terminate_backend(a.pid) WHEN a.state LIKE 'active%' THEN pg_cancel_backend(a.pid) ELSE false END
FROM unnest($1::int4[], $2::text[], $3::bool[]) AS b (pid, started, harshly)
JOIN pg_stat_activity a ON a.pid = b.pid AND a.backend_start = b.started::timestamptz AND a.application_name = 'ops'";

#[derive(Debug)]
struct Process {
    backend: Backend,
    since: Instant,
    _slot: OwnedSemaphorePermit,
}

/// The processes that are given up and not known to be gone.
#[derive(Debug, Clone)]
pub(super) struct Abandoned {
    opener: Arc<Opener>,
    processes: Arc<Mutex<Vec<Process>>>,
    /// Wakes the task that ends them.
    added: Arc<Notify>,
    total: Arc<AtomicU64>,
    /// With so many, no new connection is opened.
    many: usize,
}

impl Abandoned {
    pub(super) fn new(opener: Arc<Opener>, connections: usize) -> Self {
        Self {
            opener,
            processes: Arc::default(),
            added: Arc::default(),
            total: Arc::default(),
            many: (connections / 2).max(1),
        }
    }

    pub(super) fn add(&self, backend: Backend, slot: OwnedSemaphorePermit) {
        if backend.started.is_empty() {
            return;
        }
        self.total.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(pid = backend.pid, "a database process is given up, and ended");
        self.lock().push(Process { backend, since: Instant::now(), _slot: slot });
        self.added.notify_one();
    }

    /// The number of processes that are not known to be gone.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// The number of processes that were ever given up.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Whether there are so many that no new connection is opened.
    pub(super) fn are_many(&self) -> bool {
        self.count() >= self.many
    }

    /// Why no new connection is opened.
    pub(super) fn why(&self) -> Arc<str> {
        format!("{} of its processes missed their deadlines and have not ended", self.count()).into()
    }

    /// Those at a server that is not the primary any more are out of reach.
    pub(super) fn forget_other_servers(&self) {
        let server = self.opener.server();
        self.lock().retain(|it| it.backend.server == server);
    }

    /// Ends the processes, as long as its future is polled.
    pub(super) async fn end_each(self) {
        let mut connection: Option<PgConnection> = None;
        loop {
            if self.count() == 0 {
                connection = None;
                self.added.notified().await;
            }
            let look = async {
                let mut c = match connection.take() {
                    Some(c) => c,
                    None => self.opener.open_plain().await?,
                };
                self.look(&mut c).await?;
                Ok::<_, StoreError>(c)
            };
            match tokio::time::timeout(LOOK_TIMEOUT, look).await {
                Ok(Ok(c)) => connection = Some(c),
                Ok(Err(error)) => tracing::debug!(%error, "the given up processes can not be ended"),
                Err(_) => tracing::debug!("the database does not answer; the given up processes can not be ended"),
            }
            if connection.is_none() && self.opener.open().await.is_ok() {
                self.forget_other_servers();
            }
            if self.count() > 0 {
                tokio::time::sleep(INTERVAL).await;
            }
        }
    }

    /// Forgets the processes that are gone, and ends the others.
    async fn look(&self, c: &mut PgConnection) -> Result<(), StoreError> {
        let asked: Vec<(Backend, bool)> = {
            let processes = self.lock();
            processes.iter().map(|it| (it.backend.clone(), it.since.elapsed() > CANCEL_TIMEOUT)).collect()
        };
        let (pids, starts): (Vec<i32>, Vec<String>) =
            asked.iter().map(|(backend, _)| (backend.pid, backend.started.clone())).unzip();
        let harshly: Vec<bool> = asked.iter().map(|(_, harshly)| *harshly).collect();
        let left: Vec<(i32, String, String, String, bool)> =
            sqlx::query_as(END).persistent(false).bind(pids).bind(starts).bind(harshly).fetch_all(&mut *c).await?;
        for (pid, _, wait_event, state, signalled) in &left {
            tracing::debug!(pid, wait_event, state, signalled, "a database process that was given up is still there");
        }
        let is_left = |it: &Backend| left.iter().any(|(pid, started, ..)| (*pid, started) == (it.pid, &it.started));
        let mut processes = self.lock();
        processes.retain(|it| is_left(&it.backend) || !asked.iter().any(|(backend, _)| *backend == it.backend));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
