//! The proxy between a real PostgreSQL and a real client.

use devpg::testing::{TestDatabase, database, shared};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::super::{Cut, Protocol, Proxy, Trap};

const MADE: &str = "CREATE TABLE kept (id int PRIMARY KEY)";

/// A database with an empty table, seen directly and through a proxy.
struct Place {
    proxy: Proxy,
    direct: PgConnection,
    options: PgConnectOptions,
    _database: TestDatabase,
}

impl Place {
    async fn open() -> Self {
        let database = database("faults", async |url| {
            let made = async { sqlx::raw_sql(MADE).execute(&mut PgConnection::connect(&url).await?).await };
            made.await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        let upstream = ([127, 0, 0, 1], shared().port()).into();
        let proxy = Proxy::open(Protocol::Postgres, Some(upstream)).await.unwrap();
        let options: PgConnectOptions = shared().tcp_url(&database.name).parse().unwrap();
        let options = options.port(proxy.address().port());
        let direct = PgConnection::connect(&database.url).await.unwrap();
        Self { proxy, direct, options, _database: database }
    }

    /// A session behind the proxy.
    async fn session(&self) -> PgConnection {
        self.options.connect().await.unwrap()
    }

    async fn kept(&mut self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM kept").fetch_one(&mut self.direct).await.unwrap()
    }
}

async fn insert(session: &mut PgConnection, id: i32) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO kept VALUES ($1)").bind(id).execute(session).await.map(drop)
}

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|it| it.code()).unwrap_or_default().into_owned()
}

fn is_cut(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_))
}

#[tokio::test]
async fn a_session_without_a_trap_works_as_without_a_proxy() {
    let mut place = Place::open().await;
    for ssl in [PgSslMode::Disable, PgSslMode::Prefer] {
        place.options = place.options.ssl_mode(ssl);
        let mut session = place.session().await;
        let mut transaction = session.begin().await.unwrap();
        insert(&mut transaction, 1).await.unwrap();
        let duplicate = insert(&mut transaction, 1).await.unwrap_err();
        assert_eq!(code(&duplicate), "23505");
        transaction.rollback().await.unwrap();
        // Larger than one read.
        let long: String =
            sqlx::query_scalar("SELECT repeat($1, 1000000)").bind("x").fetch_one(&mut session).await.unwrap();
        assert_eq!(long.len(), 1_000_000);
        session.close().await.unwrap();
    }
    assert_eq!(place.kept().await, 0);
}

#[tokio::test]
async fn a_link_is_cut_before_a_commit_and_nothing_is_committed() {
    let mut place = Place::open().await;
    for cut in [Cut::Fin, Cut::Rst] {
        let mut session = place.session().await;
        let mut transaction = session.begin().await.unwrap();
        insert(&mut transaction, 1).await.unwrap();
        place.proxy.arm(Trap::CutBeforeCommit(cut));
        let error = transaction.commit().await.unwrap_err();
        assert!(is_cut(&error), "{error:?}");
        assert_eq!(place.kept().await, 0);
    }
    assert_eq!(*place.proxy.sprung().borrow(), 2);
    let mut session = place.session().await;
    let mut transaction = session.begin().await.unwrap();
    insert(&mut transaction, 1).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(place.kept().await, 1);
}

#[tokio::test]
async fn a_link_is_cut_after_a_commit_which_the_client_never_learns() {
    let mut place = Place::open().await;
    for (id, cut) in [(1, Cut::Fin), (2, Cut::Rst)] {
        let mut session = place.session().await;
        let mut transaction = session.begin().await.unwrap();
        insert(&mut transaction, id).await.unwrap();
        place.proxy.arm(Trap::CutAfterCommit(cut));
        let error = transaction.commit().await.unwrap_err();
        assert!(is_cut(&error), "{error:?}");
        assert_eq!(place.kept().await, i64::from(id));
    }
}

#[tokio::test]
async fn a_statement_that_commits_itself_is_a_commit() {
    let mut place = Place::open().await;
    let write = "-- Says what it does.\nWITH written AS (INSERT INTO kept VALUES ($1)) SELECT 1";
    for (trap, kept) in [(Trap::CutBeforeCommit(Cut::Rst), 1), (Trap::CutAfterCommit(Cut::Rst), 3)] {
        let mut session = place.session().await;
        // Statements that read, that fail, or that belong to a transaction do not count.
        sqlx::query(write).bind(kept * 10).execute(&mut session).await.unwrap();
        place.proxy.arm(trap);
        sqlx::query("SELECT count(*) FROM kept").execute(&mut session).await.unwrap();
        sqlx::raw_sql("BEGIN").execute(&mut session).await.unwrap();
        sqlx::query(write).bind(kept * 10 + 1).execute(&mut session).await.unwrap();
        sqlx::raw_sql("ROLLBACK").execute(&mut session).await.unwrap();
        let error = sqlx::query(write).bind(kept * 10 + 2).execute(&mut session).await.unwrap_err();
        assert!(is_cut(&error), "{error:?}");
        assert_eq!(place.kept().await, i64::from(kept));
    }
}

#[tokio::test]
async fn a_commit_is_known_when_it_was_prepared_too() {
    let mut place = Place::open().await;
    for (trap, kept) in [(Trap::CutBeforeCommit(Cut::Rst), 0), (Trap::CutAfterCommit(Cut::Rst), 1)] {
        let mut session = place.session().await;
        // First without a trap, so that the statement is prepared and later known by its name alone.
        for _ in 0..2 {
            sqlx::query("BEGIN").execute(&mut session).await.unwrap();
            sqlx::query("COMMIT").execute(&mut session).await.unwrap();
        }
        sqlx::query("BEGIN").execute(&mut session).await.unwrap();
        insert(&mut session, 1).await.unwrap();
        place.proxy.arm(trap);
        let error = sqlx::query("COMMIT").execute(&mut session).await.unwrap_err();
        assert!(is_cut(&error), "{error:?}");
        assert_eq!(place.kept().await, kept);
    }
}

#[tokio::test]
async fn a_statement_fails_with_its_transaction_and_the_session_goes_on() {
    let mut place = Place::open().await;
    let mut session = place.session().await;
    let fail = Trap::FailStatement { sqlstate: "40P01", message: "deadlock detected" };
    // First when the statement has to be prepared, then when it is prepared.
    for id in 1..=3 {
        place.proxy.arm(fail.clone());
        let mut transaction = session.begin().await.unwrap();
        let error = insert(&mut transaction, id).await.unwrap_err();
        assert_eq!((code(&error).as_str(), *place.proxy.sprung().borrow()), ("40P01", u64::from(id.unsigned_abs())));
        assert_eq!(code(&insert(&mut transaction, id).await.unwrap_err()), "25P02", "the transaction has failed");
        transaction.rollback().await.unwrap();
        insert(&mut session, id).await.unwrap();
    }
    place.proxy.arm(fail);
    assert_eq!(code(&insert(&mut session, 9).await.unwrap_err()), "40P01", "outside of a transaction");
    insert(&mut session, 9).await.unwrap();
    assert_eq!(place.kept().await, 4);
}

#[tokio::test]
async fn only_statements_that_read_or_write_rows_are_made_to_fail() {
    let place = Place::open().await;
    let mut session = place.session().await;
    place.proxy.arm(Trap::FailStatement { sqlstate: "53100", message: "no space left" });
    for other in ["SET statement_timeout = 1000", "BEGIN", "ROLLBACK"] {
        sqlx::raw_sql(other).execute(&mut session).await.unwrap();
        sqlx::query(other).execute(&mut session).await.unwrap();
    }
    assert_eq!(*place.proxy.sprung().borrow(), 0);
    let error = sqlx::raw_sql("SELECT 1").execute(&mut session).await.unwrap_err();
    assert_eq!(code(&error), "53100");
}

#[tokio::test]
async fn a_new_session_is_refused_as_by_the_server() {
    let place = Place::open().await;
    place.proxy.arm(Trap::FailStartup { sqlstate: "53300", message: "sorry, too many clients already" });
    let error = place.options.connect().await.unwrap_err();
    assert_eq!(code(&error), "53300");
    place.session().await;
}
