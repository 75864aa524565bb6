//! Opens connections to the primary. A server that only reads, or holds text in another encoding, is none that this program can use.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

use crate::db::StoreError;
use crate::db::url::{DatabaseUrl, place};

/// How long opening a connection may take, for each server that the URL names. Opening outlives its caller; the next caller uses the
/// connection.
const OPENING_TIMEOUT: Duration = Duration::from_secs(4);

/// The pauses between two tries of a database that starts, or has no primary yet.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What a new connection leads to, and the process of the server behind it.
const CHECK: &str = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', current_setting('server_encoding'), \
                     pg_backend_pid(), (SELECT backend_start::text FROM pg_stat_get_activity(pg_backend_pid()))";

/// The process of the server behind a connection. A process that gets the same number later begins at another time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backend {
    pub pid: i32,
    pub started: String,
    /// Which of the servers it is at.
    pub server: usize,
}

/// Opens connections.
#[derive(Debug)]
pub(super) struct Opener {
    url: Mutex<DatabaseUrl>,
    /// The server that accepted the last connection.
    server: AtomicUsize,
    opened: AtomicU64,
    /// The statements that each connection begins with.
    session: String,
    /// Why the last connection was not opened.
    failure: Mutex<Option<Arc<str>>>,
}

/// Why a server was not used.
struct Failure {
    why: String,
    /// It may be used soon.
    is_brief: bool,
    is_login: bool,
}

impl Opener {
    pub(super) fn new(url: DatabaseUrl, session: String) -> Self {
        Self {
            url: Mutex::new(url),
            server: AtomicUsize::default(),
            opened: AtomicU64::default(),
            session,
            failure: Mutex::default(),
        }
    }

    /// Opens a connection to the primary, ready for work.
    pub(super) async fn open(&self) -> Result<(PgConnection, Backend), StoreError> {
        let servers = lock(&self.url).servers().len();
        let timeout = OPENING_TIMEOUT * u32::try_from(servers).unwrap_or(u32::MAX);
        let opened = match tokio::time::timeout(timeout, self.until_opened()).await {
            Ok(opened) => opened,
            Err(_) => Err(self.failure().unwrap_or_else(|| format!("no connection within {timeout:?}").into())),
        };
        opened.map_err(StoreError::Unavailable)
    }

    /// Opens a connection to the primary, or says why none of the servers can be used now.
    pub(super) async fn open_at_once(&self) -> Result<(PgConnection, Backend), String> {
        self.try_each().await.map_err(|failure| failure.why)
    }

    /// Why this database can not be used at all, whatever its state. `None` also if it can not be asked.
    pub(super) async fn unusable(&self) -> Option<String> {
        let asking = async {
            let mut c = self.open_plain().await.ok()?;
            sqlx::query_scalar::<_, String>("SHOW server_encoding").persistent(false).fetch_one(&mut c).await.ok()
        };
        wrong_encoding(&tokio::time::timeout(OPENING_TIMEOUT, asking).await.ok()??)
    }

    /// Opens a connection with the rights of the login, and without the settings of a session.
    pub(super) async fn open_plain(&self) -> Result<PgConnection, StoreError> {
        let options = self.options();
        match tokio::time::timeout(OPENING_TIMEOUT, options.connect()).await {
            Ok(opened) => Ok(opened?),
            Err(_) => Err(StoreError::Unavailable(format!("no connection within {OPENING_TIMEOUT:?}").into())),
        }
    }

    /// How to reach the server that accepted the last connection.
    pub(super) fn options(&self) -> PgConnectOptions {
        let url = lock(&self.url);
        let servers = url.servers();
        named(&servers[self.server.load(Ordering::Relaxed) % servers.len()])
    }

    /// The number of the server that accepted the last connection.
    pub(super) fn server(&self) -> usize {
        self.server.load(Ordering::Relaxed)
    }

    /// The number of connections that were opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Why the last connection was not opened. `None` if it was.
    pub(super) fn failure(&self) -> Option<Arc<str>> {
        lock(&self.failure).clone()
    }

    async fn until_opened(&self) -> Result<(PgConnection, Backend), Arc<str>> {
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.try_each().await {
                Ok(opened) => {
                    *lock(&self.failure) = None;
                    return Ok(opened);
                }
                Err(failure) => failure,
            };
            let why: Arc<str> = failure.why.into();
            if lock(&self.failure).replace(why.clone()).as_ref() != Some(&why) {
                tracing::warn!(%why, "no connection to the database can be opened");
            }
            if !failure.is_brief {
                return Err(why);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Tries each server once, first the one that accepted the last connection.
    async fn try_each(&self) -> Result<(PgConnection, Backend), Failure> {
        let mut url = lock(&self.url).clone();
        let (first, mut failures) = (self.server.load(Ordering::Relaxed), Vec::new());
        let mut next = 0;
        let mut is_read_again = false;
        while next < url.servers().len() {
            let number = (first + next) % url.servers().len();
            let server = &url.servers()[number];
            let opened = tokio::time::timeout(OPENING_TIMEOUT, open(server, &self.session)).await;
            let failure = match opened {
                Ok(Ok((connection, pid, started))) => {
                    if self.server.swap(number, Ordering::Relaxed) != number {
                        tracing::info!(server = place(server), "the primary is another server");
                    }
                    self.opened.fetch_add(1, Ordering::Relaxed);
                    return Ok((connection, Backend { pid, started, server: number }));
                }
                Ok(Err(failure)) => failure,
                Err(_) => {
                    Failure { why: format!("no answer within {OPENING_TIMEOUT:?}"), is_brief: false, is_login: false }
                }
            };
            // The password may have changed.
            if failure.is_login
                && !is_read_again
                && let Some(again) = url.again()
            {
                is_read_again = true;
                next = 0;
                failures.clear();
                *lock(&self.url) = again.clone();
                url = again;
                continue;
            }
            failures.push((place(server), failure));
            next += 1;
        }
        let is_brief = failures.iter().any(|(_, failure)| failure.is_brief);
        let why = match &failures[..] {
            [(_, only)] => only.why.clone(),
            all => {
                all.iter().map(|(place, failure)| format!("{place}: {}", failure.why)).collect::<Vec<_>>().join("; ")
            }
        };
        Err(Failure { why, is_brief, is_login: false })
    }
}

/// Opens a connection to this server, if it is one that can be used.
async fn open(server: &PgConnectOptions, session: &str) -> Result<(PgConnection, i32, String), Failure> {
    let unfit = |why: String, is_brief| Failure { why, is_brief, is_login: false };
    let mut connection = named(server).connect().await?;
    let (is_standby, is_read_only, encoding, pid, started): (bool, bool, String, i32, Option<String>) =
        sqlx::query_as(CHECK).persistent(false).fetch_one(&mut connection).await?;
    if is_standby {
        return Err(unfit("the server is a standby, which can only be read".to_owned(), true));
    }
    if is_read_only {
        return Err(unfit("the server only reads: transaction_read_only is on".to_owned(), true));
    }
    if let Some(why) = wrong_encoding(&encoding) {
        return Err(unfit(why, false));
    }
    sqlx::raw_sql(AssertSqlSafe(session.to_owned())).execute(&mut connection).await?;
    Ok((connection, pid, started.unwrap_or_default()))
}

/// Why a database with this encoding is refused, if it is.
fn wrong_encoding(encoding: &str) -> Option<String> {
    (encoding != "UTF8").then(|| {
        format!(
            "the database holds text as {encoding}, and UTF8 is needed: \
             CREATE DATABASE ops ENCODING 'UTF8' TEMPLATE template0, and name that database"
        )
    })
}

fn named(server: &PgConnectOptions) -> PgConnectOptions {
    server.clone().application_name("ops")
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let code = match &error {
            sqlx::Error::Database(error) => error.code().unwrap_or_default().into_owned(),
            _ => String::new(),
        };
        let is_refused = match &error {
            sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
            _ => false,
        };
        Self {
            why: StoreError::text_of(&error),
            // It starts up, or has too many clients.
            is_brief: is_refused || ["57P03", "53300"].contains(&code.as_str()),
            is_login: code.starts_with("28"),
        }
    }
}
