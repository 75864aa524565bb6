//! Examines a database that a server is to use: what is wrong, why that matters, and how to mend it.
//!
//! It only reads, over a connection of its own, with deadlines. A check that fails does not stop the others. `finding` has the
//! types of a report, `session` the connection, and `reach` explains why there is none. Each other file has one group of checks:
//! `place` (which server this is), `settings`, `roles`, `schema`, `horizon` (what keeps dead rows from being vacuumed), `load`
//! (connections, locks and tables) and `workers` (what workers lack).

mod finding;
mod horizon;
mod load;
mod place;
mod reach;
mod requirements;
mod roles;
mod schema;
mod session;
mod settings;
mod workers;

use std::future::Future;
use std::pin::Pin;

pub use finding::{Examination, Fact, Finding, Severity};
pub use requirements::Requirements;

use crate::database_url;
use session::{ReadError, Session};

type Check = for<'a> fn(
    &'a mut Session,
    &'a Requirements,
    &'a mut Examination,
) -> Pin<Box<dyn Future<Output = Result<(), ReadError>> + Send + 'a>>;

/// The groups of checks, each with its subject.
const CHECKS: [(&str, Check); 8] = [
    ("the server", |session, _, found| Box::pin(place::check(session, found))),
    ("its settings", |session, requirements, found| Box::pin(settings::check(session, requirements, found))),
    ("the schema", |session, _, found| Box::pin(schema::check(session, found))),
    ("roles and grants", |session, _, found| Box::pin(roles::check(session, found))),
    ("open transactions", |session, requirements, found| Box::pin(horizon::check(session, requirements, found))),
    ("its connections, locks and tables", |session, requirements, found| {
        Box::pin(load::check(session, requirements, found))
    }),
    ("the workers", |session, _, found| Box::pin(workers::check(session, found))),
    ("poolers", |session, _, found| Box::pin(place::check_pooler(session, found))),
];

/// Examines the database of this URL.
pub async fn examine(url: &str, requirements: &Requirements) -> Examination {
    let mut found = Examination::default();
    let url = match database_url::parse(url) {
        Ok(url) => url,
        Err(error) => {
            found.add(reach::malformed(&error));
            return found;
        }
    };
    let mut session = match Session::open(&url).await {
        Ok(session) => session,
        Err(error) => {
            found.add(reach::explain(&error, &url));
            return found;
        }
    };
    for (about, check) in CHECKS {
        let Err(error) = check(&mut session, requirements, &mut found).await else { continue };
        found.add(reach::unread(about, &error));
        if error.is_lost() {
            // The next check may work on a new connection.
            match Session::open(&url).await {
                Ok(again) => session = again,
                Err(error) => {
                    found.add(reach::explain(&error, &url));
                    break;
                }
            }
        }
    }
    session.close().await;
    found
}
