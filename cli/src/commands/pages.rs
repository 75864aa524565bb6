//! Reads as many pages of a list as a person wants records.

use tonic::Status;

/// The server's largest page.
const PAGE_SIZE: u32 = 1_000;

/// Up to `limit` records, and the token of the next page, which is empty if there is none. `page` reads one page of a
/// size from a token.
pub(crate) async fn collect<T>(
    limit: u32,
    mut page: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), Status>,
) -> Result<(Vec<T>, String), Status> {
    let mut records = Vec::new();
    let mut token = String::new();
    let mut wanted = limit;
    while wanted > 0 {
        let size = wanted.min(PAGE_SIZE);
        let (more, next) = page(size.cast_signed(), token).await?;
        wanted -= size.min(u32::try_from(more.len()).unwrap_or(size));
        records.extend(more);
        token = next;
        if token.is_empty() {
            break;
        }
    }
    Ok((records, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of the numbers below `total`. Its token is the next number.
    async fn numbers(total: u32, limit: u32) -> (usize, String) {
        let (records, token) = collect(limit, async |size, token: String| {
            let from: u32 = token.parse().unwrap_or_default();
            let to = total.min(from + u32::try_from(size).unwrap());
            Ok(((from..to).collect(), if to < total { to.to_string() } else { String::new() }))
        })
        .await
        .unwrap();
        assert!(records.iter().copied().eq(0..u32::try_from(records.len()).unwrap()));
        (records.len(), token)
    }

    #[tokio::test]
    async fn pages_are_read_until_there_are_enough_or_no_more() {
        assert_eq!(numbers(2_500, 2_200).await, (2_200, "2200".to_owned()));
        assert_eq!(numbers(2_500, 9_000).await, (2_500, String::new()));
        assert_eq!(numbers(0, 50).await, (0, String::new()));
    }
}
