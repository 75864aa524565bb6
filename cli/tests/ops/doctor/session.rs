//! Findings about the role that logs in, and its rights.

use super::{as_role, findings, ids, one, sql};
use crate::ops::fixture::Fixture;

#[tokio::test]
async fn the_finding_about_a_role_that_may_not_become_the_engine_names_the_missing_grant() {
    let fixture = Fixture::empty().await;
    let url = fixture.database_url();
    sql(&url, "CREATE ROLE granted LOGIN; GRANT pg_read_all_stats TO granted").await;
    let joe = as_role(&url, "granted");
    let found = findings(&joe, &[]);
    assert_eq!(ids(&found), ["role-engine", "role-owner", "schema-unread"]);
    let engine = one(&found, "role-engine");
    assert_eq!(engine.severity, "error");
    assert!(engine.what.contains("role granted may not become ops_engine"), "{engine:?}");
    for id in ["role-engine", "role-owner"] {
        sql(&url, one(&found, id).mend.trim_start_matches("as a superuser: ")).await;
    }
    assert_eq!(findings(&joe, &[]), []);
    sql(&url, "DROP ROLE granted").await;
}

#[tokio::test]
async fn the_grant_in_the_finding_about_hidden_activity_helps_the_doctor_and_the_metric() {
    // Roles belong to the whole cluster.
    let cluster = super::sound::sound_cluster(&[]).await;
    let url = cluster.url("ops");
    sql(&url, "CREATE ROLE blind LOGIN; GRANT ops_owner, ops_engine TO blind").await;
    let blind = as_role(&url, "blind");
    let examined = || super::examine(&["--database-url", &blind]).0;
    let found = examined();
    assert_eq!(ids(&found), ["activity-hidden"]);
    sql(&url, one(&found, "activity-hidden").mend.trim_start_matches("as a superuser: ")).await;
    assert_eq!(examined(), []);
    // A server becomes this role.
    let mut session = super::connect(&blind).await;
    sqlx::raw_sql("SET ROLE ops_engine").execute(&mut session).await.unwrap();
    let sees = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')";
    assert!(sqlx::query_scalar::<_, bool>(sees).fetch_one(&mut session).await.unwrap());
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/observability.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("`GRANT pg_read_all_stats TO ops_engine`"), "the page has the same statement");
}

#[tokio::test]
async fn lost_grants_policies_and_owners_are_reported_and_restored() {
    let fixture = Fixture::empty().await;
    let url = fixture.database_url();
    for (id, severity, fault) in [
        ("grants", "error", "REVOKE UPDATE ON ops.runs FROM ops_engine"),
        ("grants", "error", "REVOKE USAGE ON SCHEMA ops FROM ops_engine"),
        ("policy", "error", "DROP POLICY engine ON ops.sessions"),
        ("owner", "warning", "ALTER TABLE ops.artifacts OWNER TO postgres"),
    ] {
        sql(&url, fault).await;
        let found = findings(&url, &[]);
        assert_eq!(ids(&found), [id], "{fault} {found:#?}");
        assert_eq!(one(&found, id).severity, severity, "{fault}");
        sql(&url, &one(&found, id).mend).await;
        assert_eq!(findings(&url, &[]), [], "{fault}");
    }
}

#[tokio::test]
async fn the_finding_about_missing_roles_says_what_a_superuser_must_do() {
    let cluster = super::sound::bare_cluster().await;
    let url = cluster.url("ops");
    sql(&url, "CREATE ROLE plain LOGIN; GRANT pg_read_all_stats TO plain; GRANT CREATE ON DATABASE ops TO plain").await;
    let plain = as_role(&url, "plain");
    let (found, _) = super::examine(&["--database-url", &plain]);
    assert_eq!(ids(&found), ["schema-missing", "roles-missing"]);
    sql(&url, "REVOKE CREATE ON DATABASE ops FROM plain").await;
    let (found, _) = super::examine(&["--database-url", &plain]);
    assert_eq!(ids(&found), ["schema-missing", "schema-create", "roles-missing"]);
    sql(&url, one(&found, "schema-create").mend.trim_start_matches("as the owner of the database: ")).await;
    let migrate = ["migrate", "--database-url", plain.as_str()];
    assert_eq!(crate::ops::program::ops(&migrate).code, Some(1));
    sql(&url, one(&found, "roles-missing").mend.trim_start_matches("as a superuser: ")).await;
    crate::ops::program::ops(&migrate).success();
    assert_eq!(super::examine(&["--database-url", &plain]).0, []);
    // The right is not needed once the schema is there.
    sql(&url, "REVOKE CREATE ON DATABASE ops FROM plain").await;
    assert_eq!(super::examine(&["--database-url", &plain]).0, []);
    crate::ops::program::ops(&migrate).success();
}
