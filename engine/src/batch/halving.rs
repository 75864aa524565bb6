//! One bad row never fails its round.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use crate::EngineError;
use crate::db::StoreError;

/// Carries out a round; if the database refuses it for what is in it, its halves, until what can be done is done and what
/// can not is refused alone. An outage fails what it meets, and is not bisected.
pub async fn bisect<I, O, F>(items: Vec<I>, mut work: impl FnMut(Arc<[I]>) -> F) -> Vec<Result<O, EngineError>>
where
    I: Clone,
    F: Future<Output = Result<Vec<O>, StoreError>>,
{
    let mut results = Vec::with_capacity(items.len());
    let mut parts: VecDeque<Arc<[I]>> = VecDeque::from([items.into()]);
    while let Some(part) = parts.pop_front() {
        match work(part.clone()).await {
            Ok(outputs) => results.extend(outputs.into_iter().map(Ok)),
            Err(error) if error.is_outage() || part.len() <= 1 => {
                results.extend(part.iter().map(|_| Err(EngineError::Store(error.clone()))));
            }
            Err(error) => {
                tracing::warn!(%error, items = part.len(), "a round was refused and is divided");
                let (first, second) = part.split_at(part.len() / 2);
                parts.push_front(second.into());
                parts.push_front(first.into());
            }
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_bad_item_is_refused_alone() {
        let results = bisect((0..9).collect(), |part: Arc<[i32]>| async move {
            if part.contains(&4) { Err(StoreError::LockTimeout) } else { Ok(part.to_vec()) }
        })
        .await;
        for (index, result) in results.into_iter().enumerate() {
            assert_eq!(result.is_err(), index == 4, "{index}");
        }
    }

    #[tokio::test]
    async fn an_outage_is_not_bisected() {
        let mut rounds = 0;
        let results = bisect(vec![1, 2, 3], |_: Arc<[i32]>| {
            rounds += 1;
            std::future::ready(Err::<Vec<()>, _>(StoreError::Unavailable("away".into())))
        })
        .await;
        assert!(results.iter().all(|result| result.is_err()));
        assert_eq!(rounds, 1);
    }
}
