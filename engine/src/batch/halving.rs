//! A request that the database refuses does not fail the others of its batch.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use crate::EngineError;
use crate::db::StoreError;

/// Carries out a batch. If the database refuses its content, each half is carried out, and so on, until the bad items are refused alone
/// and all others are done. An outage, a lock or a statement that takes too long fails the whole part: its halves would fail as well.
pub async fn halve<I, O, F>(items: Vec<I>, mut work: impl FnMut(Arc<[I]>) -> F) -> Vec<Result<O, EngineError>>
where
    I: Clone,
    F: Future<Output = Result<Vec<O>, StoreError>>,
{
    let mut results = Vec::with_capacity(items.len());
    let mut parts: VecDeque<Arc<[I]>> = VecDeque::from([items.into()]);
    while let Some(part) = parts.pop_front() {
        match work(part.clone()).await {
            Ok(outputs) => results.extend(outputs.into_iter().map(Ok)),
            Err(error) if fails_all(&error) || part.len() <= 1 => {
                results.extend(part.iter().map(|_| Err(EngineError::Store(error.clone()))));
            }
            Err(error) => {
                tracing::warn!(%error, items = part.len(), "a batch was refused and is halved");
                let (first, second) = part.split_at(part.len() / 2);
                parts.push_front(second.into());
                parts.push_front(first.into());
            }
        }
    }
    results
}

/// Whether the halves would fail as well, after the same wait.
fn fails_all(error: &StoreError) -> bool {
    error.is_outage() || matches!(error, StoreError::LockTimeout | StoreError::StatementCancelled(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_bad_item_is_refused_alone() {
        let results = halve((0..9).collect(), |part: Arc<[i32]>| async move {
            if part.contains(&4) { Err(StoreError::RequestHeld) } else { Ok(part.to_vec()) }
        })
        .await;
        for (index, result) in results.into_iter().enumerate() {
            assert_eq!(result.is_err(), index == 4, "{index}");
        }
    }

    #[tokio::test]
    async fn an_outage_and_a_lock_are_not_halved() {
        for error in [StoreError::Unavailable("away".into()), StoreError::LockTimeout] {
            let mut batches = 0;
            let results = halve(vec![1, 2, 3], |_: Arc<[i32]>| {
                batches += 1;
                std::future::ready(Err::<Vec<()>, _>(error.clone()))
            })
            .await;
            assert!(results.iter().all(|result| result.is_err()));
            assert_eq!(batches, 1, "{error}");
        }
    }
}
