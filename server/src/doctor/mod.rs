//! Looks at a database as a server would use it, and says what is wrong, why that matters, and how to mend it.
//!
//! It reads and writes nothing, over a connection of its own, with deadlines, and goes on where half of it is broken.
//! `finding` is what it says, `session` how it reads, `reach` why there is no connection. Then a file a group of
//! checks: `place` (what is at the other end), `settings`, `roles`, `schema`, `horizon` (what keeps dead rows
//! alive) and `load` (connections, locks and tables).

mod finding;
mod horizon;
mod load;
mod place;
mod reach;
mod roles;
mod schema;
mod session;
mod settings;
mod wishes;

use std::future::Future;
use std::pin::Pin;

pub use finding::{Examination, Fact, Finding, Severity};
pub use wishes::Wishes;

use engine::db::DatabaseUrl;
use session::{ReadError, Session};

type Check = for<'a> fn(
    &'a mut Session,
    &'a Wishes,
    &'a mut Examination,
) -> Pin<Box<dyn Future<Output = Result<(), ReadError>> + Send + 'a>>;

/// Each group of checks, and what it is about.
const CHECKS: [(&str, Check); 7] = [
    ("what is at the other end", |session, _, found| Box::pin(place::check(session, found))),
    ("its settings", |session, wishes, found| Box::pin(settings::check(session, wishes, found))),
    ("the schema", |session, _, found| Box::pin(schema::check(session, found))),
    ("roles and grants", |session, _, found| Box::pin(roles::check(session, found))),
    ("open transactions", |session, wishes, found| Box::pin(horizon::check(session, wishes, found))),
    ("its connections, locks and tables", |session, wishes, found| Box::pin(load::check(session, wishes, found))),
    ("poolers", |session, _, found| Box::pin(place::check_pooler(session, found))),
];

/// Examines the database of this URL.
pub async fn examine(url: &str, wishes: &Wishes) -> Examination {
    let mut found = Examination::default();
    let url = match DatabaseUrl::parse(url) {
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
        let Err(error) = check(&mut session, wishes, &mut found).await else { continue };
        found.add(reach::unread(about, &error));
        if error.is_lost() {
            // What hangs or is cut says nothing of the next check, on a connection that is new.
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
