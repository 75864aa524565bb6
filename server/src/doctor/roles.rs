//! Roles and grants. The login role must be able to become the engine and the owner, and these need their privileges.

use crate::doctor::finding::{Examination, Finding};
use crate::doctor::reach::name;
use crate::doctor::session::{ReadError, Session};

/// The role of a server's connections.
const ENGINE: &str = "ops_engine";
/// The role that migrates.
const OWNER: &str = "ops_owner";

pub async fn check(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let (user, may_make_roles): (String, bool) = session
        .row("SELECT rolname::text, rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = session_user")
        .await?;
    found.fact("role", user.clone());
    let missing: Vec<(String,)> = session
        .rows(
            "SELECT needed FROM unnest(ARRAY['ops_owner', 'ops_engine', 'ops_authenticated', 'ops_anon']) AS needed \
             WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = needed) ORDER BY needed",
        )
        .await?;
    let missing: Vec<_> = missing.into_iter().map(|(role,)| role).collect();
    if !missing.is_empty() {
        // A role that may create roles creates them when it migrates. Without a schema, that finding already asks for it.
        if !may_make_roles {
            found.add(not_bootstrapped(&user, &missing));
        } else if !found.has("schema-missing") {
            found.add(Finding::error(
                "roles-missing",
                format!("the roles {} are missing", missing.join(", ")),
                "they own the schema and serve it; roles belong to the whole server, so a restored copy may lack them",
                "`ops migrate` creates them",
            ));
        }
        return Ok(());
    }
    let serves = becomes(session, ENGINE).await?;
    if let Some(why) = &serves {
        found.add(may_not_become(
            &user,
            ENGINE,
            why,
            "the server takes this role on each of its connections, and fails without it",
        ));
    }
    if let Some(why) = becomes(session, OWNER).await? {
        let reason = "migrating needs this role; a server with --no-migrate does not";
        let Finding { id, what, why, mend, .. } = may_not_become(&user, OWNER, &why, reason);
        found.add(Finding::warning(id, what, why, mend));
    }
    if found.has("schema-missing") { Ok(()) } else { grants(session, found).await }
}

/// The reason why this session may not become a role; `None` if it may.
async fn becomes(session: &mut Session, role: &'static str) -> Result<Option<String>, ReadError> {
    match session.become_role(role).await {
        Ok(()) => Ok(None),
        Err(ReadError::Sql(sqlx::Error::Database(error))) => Ok(Some(error.message().to_owned())),
        Err(error) => Err(error),
    }
}

fn may_not_become(user: &str, role: &str, why: &str, reason: &str) -> Finding {
    let id = if role == ENGINE { "role-engine" } else { "role-owner" };
    Finding::error(
        id,
        format!("role {user} may not become {role}: {why}"),
        reason,
        format!("as a superuser: GRANT {role} TO {};", name(user)),
    )
}

fn not_bootstrapped(user: &str, missing: &[String]) -> Finding {
    let make: Vec<_> = missing.iter().map(|role| format!("CREATE ROLE {role} NOLOGIN;")).collect();
    let user = name(user);
    Finding::error(
        "roles-missing",
        format!("the roles {} are missing, and role {user} may not create them", missing.join(", ")),
        "they own the schema and serve it, and `ops migrate` fails without them",
        format!("as a superuser: {} GRANT ops_owner, ops_engine TO {user};", make.join(" ")),
    )
}

/// Checks the privileges of the engine on the tables of the schema.
async fn grants(session: &mut Session, found: &mut Examination) -> Result<(), ReadError> {
    let (may_look,): (bool,) = session.row("SELECT has_schema_privilege('ops_engine', 'ops', 'USAGE')").await?;
    if !may_look {
        found.add(Finding::error(
            "grants",
            "ops_engine may not use the schema ops",
            "the server can not read or write anything",
            "GRANT USAGE ON SCHEMA ops TO ops_engine;",
        ));
    }
    let tables: Vec<(String, bool, bool, String)> = session
        .rows(
            "SELECT c.relname::text, \
             (SELECT bool_and(has_table_privilege('ops_engine', c.oid, p)) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p), \
             NOT c.relrowsecurity OR EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid \
             AND p.polroles && ARRAY[0::oid, 'ops_engine'::regrole::oid]), \
             c.relowner::regrole::text \
             FROM pg_class c WHERE c.relnamespace = to_regnamespace('ops') AND c.relkind IN ('r', 'p') \
             AND c.relname NOT IN ('_sqlx_migrations', '_functions') ORDER BY 1",
        )
        .await?;
    for (table, may, sees, owner) in tables {
        if !may {
            found.add(Finding::error(
                "grants",
                format!("ops_engine may not read and write ops.{table}"),
                "calls that need this table fail as internal errors",
                format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ops.{table} TO ops_engine;"),
            ));
        }
        if !sees {
            found.add(Finding::error(
                "policy",
                format!("ops.{table} has row-level security, and no policy for ops_engine"),
                "to the server the table looks empty",
                format!("CREATE POLICY engine ON ops.{table} TO ops_engine USING (true) WITH CHECK (true);"),
            ));
        }
        if owner != OWNER {
            found.add(Finding::warning(
                "owner",
                format!("ops.{table} belongs to {owner}"),
                "a migration that changes the table fails, because it runs as ops_owner",
                format!("ALTER TABLE ops.{table} OWNER TO ops_owner;"),
            ));
        }
    }
    Ok(())
}
