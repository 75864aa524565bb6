//! Pages of lists, which are read chunk by chunk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::db::{Db, PgConnection, StoreError, Work};
use crate::domain::page::{PageFill, PageRequest};
use crate::domain::weight::{MESSAGE_BYTES, Weight};

/// How long a page is filled. After that it ends with the entries that it has, and the next page continues there.
const FILL_TIMEOUT: Duration = Duration::from_secs(2);

/// Fills a page with the entries after `after`. `read` reads the next entries, and `key` names the place of one in the list.
///
/// Each chunk is a unit of database work of its own: a list that is read slowly is no outage. A page that has entries ends early when
/// the database is busy.
pub async fn fill<I, T, K>(
    db: &Db,
    input: I,
    page: &PageRequest,
    after: Option<K>,
    key: impl Fn(&T) -> K,
    read: impl for<'c> Fn(&'c mut PgConnection, &'c I, Option<K>, i64) -> Work<'c, Vec<T>> + Clone + Send + Sync + 'static,
) -> Result<PageFill<T>, StoreError>
where
    I: Send + Sync + 'static,
    T: Weight + Send + 'static,
    K: Copy + Send + Sync + 'static,
{
    let (input, began) = (Arc::new(input), Instant::now());
    let mut fill = PageFill::new(page.size, MESSAGE_BYTES);
    while let Some(wanted) = fill.wants() {
        let (read, after) = (read.clone(), fill.last().map(&key).or(after));
        match db.list(input.clone(), move |c, input| read(c, input, after, wanted)).await {
            Ok(rows) => fill.take(rows, wanted),
            Err(error) if !(error.is_passing() && fill.end_early()) => return Err(error),
            Err(_) => {}
        }
        if began.elapsed() > FILL_TIMEOUT {
            fill.end_early();
        }
    }
    Ok(fill)
}
