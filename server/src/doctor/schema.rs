//! The schema: whether it exists, fits this program, and is as the migrations left it.

use crate::doctor::finding::{Examination, Finding, Severity};
use crate::doctor::reach::name;
use crate::doctor::session::{ReadError, Session};
use engine::db::migrate::{AppliedFunction, Migration, later_functions, migrations, stale_functions};

/// An applied migration: version, description, success and checksum.
type Applied = (i64, String, bool, Vec<u8>);

pub async fn check(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let (has_schema, has_table): (bool, bool) = session
        // The catalogue can be read without any privilege on the schema.
        .row(
            "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'ops'), EXISTS (SELECT FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'ops' AND c.relname = '_sqlx_migrations')",
        )
        .await?;
    if !has_schema || !has_table {
        found.add(Finding::error(
            "schema-missing",
            "the database has no schema of this program",
            "there are no tables for sessions and runs",
            "`ops migrate`, or `ops serve` without --no-migrate",
        ));
        return if has_schema { Ok(()) } else { may_create(session, found).await };
    }
    match read_as_owner(session, APPLIED).await {
        Ok(applied) => {
            if compare(&applied, found) {
                compare_functions(&read_as_owner(session, AppliedFunction::SELECT).await?, found);
            }
        }
        Err(error) if error.code().as_deref() == Some("42501") => found.add(Finding::note(
            "schema-unread",
            "only ops_owner may read which migrations were applied, and this role may not become it",
            "whether the schema fits this program stays unknown",
            "examine again as the role that migrates",
        )),
        Err(error) => return Err(error),
    }
    set_back(session, found).await?;
    tables(session, found).await
}

/// Whether instants that servers stored lie in the future. A server mends that, but none runs.
async fn set_back(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let ahead = "SELECT extract(epoch FROM checked_at - clock_timestamp())::float8 FROM ops.lease_service";
    let ahead: Vec<(f64,)> = match read_as_owner(session, ahead).await {
        Err(error) if error.code().as_deref() == Some("42501") => Vec::new(),
        answer => answer?,
    };
    if let [(ahead,)] = ahead[..]
        && ahead > 1.0
    {
        found.add(Finding::warning(
            "clock-set-back",
            format!("the clock of the database has gone back by {ahead:.0} s or more since a server used it last"),
            "leases, cancels and waits would last longer by as much, until a server brings them to the present",
            "start a server, which does that within a second; on the database's machine: `timedatectl set-ntp true`",
        ));
    }
    Ok(())
}

/// Whether this role may make the schema.
async fn may_create(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let (may, database, user): (bool, String, String) = session
        .row(
            "SELECT has_database_privilege(session_user, current_database(), 'CREATE'), current_database()::text, session_user::text",
        )
        .await?;
    if !may {
        let (database, user) = (name(&database), name(&user));
        found.add(Finding::error(
            "schema-create",
            format!("role {user} may not create a schema in database {database}"),
            "`ops migrate` fails, because it has to make the schema",
            format!("as the owner of the database: GRANT CREATE ON DATABASE {database} TO {user};"),
        ));
    }
    Ok(())
}

const APPLIED: &str = "SELECT version, description, success, checksum FROM ops._sqlx_migrations ORDER BY version";

/// Only the owner may read the tables of migrations. A role that is no superuser must become the owner first.
async fn read_as_owner<T>(session: &mut Session, sql: &'static str) -> Result<Vec<T>, ReadError>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    match session.rows(sql).await {
        Err(error) if error.code().as_deref() == Some("42501") => session.rows_as(Some("ops_owner"), sql).await,
        answer => answer,
    }
}

/// Whether exactly the migrations of this program are applied, with the same texts.
fn compare(applied: &[Applied], found: &mut Examination) -> bool {
    let known: Vec<Migration> = migrations().collect();
    let newest = applied.iter().map(|(version, ..)| *version).max().unwrap_or_default();
    found.fact("schema", format!("version {newest}; this program's is {}", known.last().map_or(0, |it| it.version)));
    let is_applied =
        |it: &&Migration| applied.iter().any(|(version, _, success, _)| *version == it.version && *success);
    let missing: Vec<_> = known.iter().filter(|it| !is_applied(it)).map(Migration::to_string).collect();
    if !missing.is_empty() {
        found.add(Finding::error(
            "schema-old",
            format!("the schema is older than this program: {} not applied", missing.join(", ")),
            "statements need tables and columns that do not exist yet",
            "`ops migrate`, or `ops serve` without --no-migrate; servers of the previous release keep running meanwhile",
        ));
    }
    let unknown = |(version, ..): &&Applied| !known.iter().any(|it| it.version == *version);
    let newer: Vec<_> =
        applied.iter().filter(unknown).map(|(version, name, ..)| format!("{version:04} {name}")).collect();
    if !newer.is_empty() {
        found.add(Finding::warning(
            "schema-newer",
            format!("the schema is newer than this program: it has {}", newer.join(", ")),
            "this is normal during a rolling restart; the release after the next may remove what this one needs",
            "run the release that migrated the database",
        ));
    }
    let changed = |it: &&Migration| {
        applied.iter().any(|(version, _, _, checksum)| *version == it.version && *checksum != it.checksum)
    };
    let changed: Vec<_> = known.iter().filter(changed).map(Migration::to_string).collect();
    if !changed.is_empty() {
        found.add(Finding::error(
            "schema-changed",
            format!("migrations were applied with other texts than this program's: {}", changed.join(", ")),
            "the schema may differ from what this program expects, and `ops migrate` refuses to go on",
            "run a released program, or restore the database from an earlier backup",
        ));
    }
    missing.is_empty() && newer.is_empty() && changed.is_empty()
}

/// Functions are replaced after the migrations are applied, so they are compared only if the migrations fit.
fn compare_functions(applied: &[AppliedFunction], found: &mut Examination) {
    let stale: Vec<_> = stale_functions(applied).map(|function| function.name).collect();
    if !stale.is_empty() {
        found.add(Finding::error(
            "functions-old",
            format!("functions are older than this program: {}", stale.join(", ")),
            "runs that are enqueued in SQL, and rows that are deleted by hand, are handled as in another release",
            "`ops migrate`, or `ops serve` without --no-migrate",
        ));
    }
    let later: Vec<_> = later_functions(applied).map(|function| function.name.as_str()).collect();
    if !later.is_empty() {
        found.add(Finding::warning(
            "functions-newer",
            format!("functions are newer than this program: {}", later.join(", ")),
            "this is normal during a rolling restart; the release after the next may expect what this program does not do yet",
            "run the release that migrated the database",
        ));
    }
}

async fn tables(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let unlogged: Vec<(String,)> = session
        .rows(
            "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = to_regnamespace('ops') AND c.relkind = 'r' \
             AND c.relpersistence = 'u' ORDER BY 1",
        )
        .await?;
    for (table,) in unlogged {
        found.add(Finding::error(
            "unlogged",
            format!("the table ops.{table} is unlogged"),
            "after a crash of PostgreSQL it is empty, and a standby never has it",
            format!("ALTER TABLE ops.{table} SET LOGGED;"),
        ));
    }
    identities(session, found).await?;
    let invalid: Vec<(String,)> = session
        .rows(
            "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
             WHERE c.relnamespace = to_regnamespace('ops') AND NOT i.indisvalid ORDER BY 1",
        )
        .await?;
    for (index,) in invalid {
        found.add(Finding::warning(
            "index-invalid",
            format!("the index ops.{index} is not valid, because its creation was interrupted"),
            "statements that need it read whole tables",
            format!("REINDEX INDEX CONCURRENTLY ops.{index};"),
        ));
    }
    Ok(())
}

/// Tables whose rows logical replication can not identify.
async fn identities(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let without: Vec<(String, bool)> = session
        .rows(
            "SELECT c.relname::text, EXISTS (SELECT FROM pg_publication_tables p WHERE p.schemaname = 'ops' AND p.tablename = c.relname) \
             FROM pg_class c WHERE c.relnamespace = to_regnamespace('ops') AND c.relkind = 'r' AND CASE c.relreplident \
             WHEN 'f' THEN false \
             WHEN 'd' THEN NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid) \
             WHEN 'i' THEN NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid) \
             ELSE true END ORDER BY 1",
        )
        .await?;
    for (table, is_published) in without {
        let (what, why) = (
            format!("logical replication can not identify the rows of ops.{table}"),
            "a publication of this table makes each UPDATE and DELETE on it fail: claims, cancels and the vacuuming of old rows",
        );
        // Without an index of its own, a table can still be identified by whole rows.
        let mend = match table.as_str() {
            "run_queue" => "ALTER TABLE ops.run_queue REPLICA IDENTITY USING INDEX run_queue_order;".to_owned(),
            _ => format!("ALTER TABLE ops.{table} REPLICA IDENTITY DEFAULT;"),
        };
        let severity = if is_published { Severity::Error } else { Severity::Warning };
        found.add(Finding::new(severity, "replica-identity", what, why, mend));
    }
    Ok(())
}
