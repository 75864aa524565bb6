//! One cluster for all tests of a process, and a separate database for each test.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;

use crate::{Cluster, ClusterOptions, Programs};

/// The cluster that all tests of this process share. The first call starts it, and it ends with the process.
///
/// A test that kills or pauses its server needs a cluster of its own: [`Cluster::start`] with
/// [`ClusterOptions::temporary`].
///
/// # Panics
///
/// When the cluster does not start, with the reason and what to do about it.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
    // On a thread of its own, because the caller is in the runtime of its test, which must not block and ends with that
    // test.
    let start = || thread::spawn(|| runtime().block_on(start())).join().unwrap_or_else(|_| Err("panicked".to_owned()));
    match SHARED.get_or_init(start) {
        Ok(cluster) => cluster,
        Err(error) => panic!("no PostgreSQL for the tests: {error}"),
    }
}

/// A new database on the [`shared`] cluster, as a copy of a template that is made once a process. `prepare` gets the
/// template's URL and fills it, for example with the migrations. Its open connections are closed.
///
/// `template` names the template. The first caller's `prepare` fills it, the others wait.
///
/// # Panics
///
/// When the cluster does not start, `prepare` fails, or the database can not be created.
pub async fn database<P, F, E>(template: &str, prepare: P) -> TestDatabase
where
    P: FnOnce(String) -> F,
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // One cell each, so that different templates are made at the same time.
    static TEMPLATES: LazyLock<Mutex<HashMap<String, Arc<OnceCell<()>>>>> = LazyLock::new(Mutex::default);
    // One copy at a time, because PostgreSQL refuses to copy a database that is in use.
    static COPYING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    let cluster = shared();
    let source = format!("template_{template}");
    assert!(source.len() < 50, "PostgreSQL would cut the template's name {template}: choose a shorter one");
    let cell = Arc::clone(TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner).entry(source.clone()).or_default());
    let made = cell.get_or_try_init(|| Box::pin(make_template(cluster, &source, prepare))).await;
    made.unwrap_or_else(|error| panic!("cannot make the template database {source}: {error}"));

    let name = format!("test_{}_{template}", NEXT.fetch_add(1, Ordering::Relaxed));
    let turn = COPYING.lock().await;
    let created = cluster.create_database_from(&name, &source).await;
    drop(turn);
    created.unwrap_or_else(|error| panic!("cannot create the test database {name}: {error}"));
    TestDatabase { url: cluster.url(&name), name }
}

/// A database for one test. Its drop ends its sessions and removes it, so keep it until the test's end.
#[derive(Debug)]
#[must_use = "the database is removed when this is dropped"]
pub struct TestDatabase {
    /// The superuser's URL over the Unix socket.
    pub url: String,
    /// Its name, unique in the cluster.
    pub name: String,
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A test can not wait here, and need not: the whole cluster is removed at the end.
        let _ = remover().send(std::mem::take(&mut self.name));
    }
}

async fn start() -> Result<Cluster, String> {
    let programs = Programs::find(None).map_err(|error| error.to_string())?;
    Cluster::start(&programs, ClusterOptions::temporary()).await.map_err(|error| error.to_string())
}

async fn make_template<P, F, E>(cluster: &Cluster, name: &str, prepare: P) -> Result<(), String>
where
    P: FnOnce(String) -> F,
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    // An interrupted test may have left an incomplete one.
    cluster.drop_database(name).await.map_err(|error| error.to_string())?;
    cluster.create_database(name).await.map_err(|error| error.to_string())?;
    prepare(cluster.url(name)).await.map_err(|error| error.to_string())?;
    cluster.close_database(name).await.map_err(|error| error.to_string())
}

/// A thread that drops the databases of finished tests one by one. Hundreds of them would fill the disk.
fn remover() -> &'static Sender<String> {
    static REMOVER: LazyLock<Sender<String>> = LazyLock::new(|| {
        let (sender, names) = mpsc::channel::<String>();
        thread::spawn(move || {
            let runtime = runtime();
            for name in names {
                if let Err(error) = runtime.block_on(shared().drop_database(&name)) {
                    tracing::debug!(name, %error, "a test's database stays until the cluster goes");
                }
            }
        });
        sender
    });
    &REMOVER
}

fn runtime() -> Runtime {
    let built = Builder::new_current_thread().enable_all().build();
    built.unwrap_or_else(|error| panic!("cannot build a runtime for the shared cluster: {error}"))
}
