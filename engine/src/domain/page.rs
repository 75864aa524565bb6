//! Pages of lists, and the tokens that continue them.

use uuid::Uuid;

use crate::domain::event::EventPosition;
use crate::domain::filter::RunFilter;
use crate::domain::weight::Weight;
use crate::domain::{Identity, Refusal, TenantId, token};

/// The layout of a token: a byte of version, 16 bytes of scope, the key of the last entry.
const VERSION: u8 = 2;
const SCOPE: usize = 16;

/// Rows that one statement of a list reads, so that rows of the largest size can not exhaust the memory.
const CHUNK: i64 = 50;

/// What a page token is bound to: a method, its tenant and its filter.
#[derive(Debug, Clone)]
pub struct PageScope(Identity);

impl PageScope {
    pub fn new(method: &str, tenant: &TenantId) -> Self {
        Self(Identity::of(method).with("tenant", [tenant.as_str()]))
    }

    /// Binds a condition of the filter. The order of its values makes no difference.
    #[must_use]
    pub fn with<T: AsRef<str>>(self, condition: &str, values: impl IntoIterator<Item = T>) -> Self {
        Self(self.0.with_set(condition, values))
    }

    /// Binds the conditions of a filter of runs.
    #[must_use]
    pub fn with_filter(self, filter: &RunFilter) -> Self {
        Self(filter.identify(self.0))
    }

    /// The token of the page that begins after an entry.
    pub fn encode(&self, last: impl PageKey) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.digest());
        bytes.extend(last.to_bytes());
        token::seal(&bytes)
    }

    /// The entry after which the page of a token begins; `None` for the first page.
    pub fn decode<K: PageKey>(&self, token: &str) -> Result<Option<K>, Refusal> {
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = token::open(token).ok_or(Refusal::PageTokenInvalid)?;
        match bytes.split_first() {
            Some((&VERSION, rest)) if rest.len() == SCOPE + 16 && rest[..SCOPE] == self.digest() => {
                let key = <[u8; 16]>::try_from(&rest[SCOPE..]).map_err(|_| Refusal::PageTokenInvalid)?;
                Ok(Some(K::from_bytes(key)))
            }
            _ => Err(Refusal::PageTokenInvalid),
        }
    }

    fn digest(&self) -> [u8; SCOPE] {
        let mut digest = [0; SCOPE];
        digest.copy_from_slice(&self.0.hash()[..SCOPE]);
        digest
    }
}

/// The key by which a list is ordered.
pub trait PageKey {
    fn to_bytes(&self) -> [u8; 16];
    fn from_bytes(bytes: [u8; 16]) -> Self;
}

impl PageKey for Uuid {
    fn to_bytes(&self) -> [u8; 16] {
        *self.as_bytes()
    }

    fn from_bytes(bytes: [u8; 16]) -> Self {
        Uuid::from_bytes(bytes)
    }
}

impl PageKey for EventPosition {
    fn to_bytes(&self) -> [u8; 16] {
        ((self.fence as u128) << 64 | u128::from(self.seq as u64)).to_be_bytes()
    }

    fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        EventPosition { fence: (both >> 64) as i64, seq: both as i64 }
    }
}

/// The page that a caller asks for; already checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The most entries of the page; at least 1.
    pub size: i64,
    /// Empty for the first page.
    pub token: String,
}

/// One page, and the token of the next. The token of the last page is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_token: String,
}

/// A page that is filled chunk by chunk, until it has enough entries or bytes.
#[derive(Debug)]
pub struct PageFill<T> {
    items: Vec<T>,
    size: i64,
    max_bytes: usize,
    bytes: usize,
    /// Whether there are entries after these; `None` while that is not known.
    more: Option<bool>,
}

impl<T: Weight> PageFill<T> {
    /// A page of up to `size` entries. It ends early when it has `max_bytes`, but always has its first entry.
    pub fn new(size: i64, max_bytes: usize) -> Self {
        Self { items: Vec::new(), size, max_bytes, bytes: 0, more: None }
    }

    /// How many rows to read next, if any.
    pub fn wants(&self) -> Option<i64> {
        // One row more than the page has tells whether there is a next page.
        self.more.is_none().then(|| (self.size + 1 - self.items.len() as i64).min(CHUNK + 1))
    }

    /// The last entry. The next chunk is read after it.
    pub fn last(&self) -> Option<&T> {
        self.items.last()
    }

    /// Adds the rows of a read that asked for `wanted`.
    pub fn take(&mut self, rows: Vec<T>, wanted: i64) {
        let exhausted = (rows.len() as i64) < wanted;
        for row in rows {
            self.bytes = self.bytes.saturating_add(row.weight());
            let full = self.items.len() as i64 >= self.size || self.bytes > self.max_bytes;
            if full && !self.items.is_empty() {
                self.more = Some(true);
                return;
            }
            self.items.push(row);
        }
        if exhausted {
            self.more = Some(false);
        }
    }

    /// Ends the page with what it has, if it has something. Returns whether it did. The next page begins after its last entry.
    pub fn end_early(&mut self) -> bool {
        if !self.items.is_empty() && self.more.is_none() {
            self.more = Some(true);
        }
        !self.items.is_empty()
    }

    /// The page. `encode` makes the token from the last entry, if more entries follow.
    pub fn finish(self, encode: impl FnOnce(&T) -> String) -> Page<T> {
        let next_token = match (self.more, self.items.last()) {
            (Some(true), Some(last)) => encode(last),
            _ => String::new(),
        };
        Page { items: self.items, next_token }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope(method: &str, statuses: &[&str]) -> PageScope {
        PageScope::new(method, &TenantId::single()).with("statuses", statuses.iter().copied())
    }

    #[test]
    fn a_token_is_bound_to_its_method_tenant_and_filter() {
        let key = Uuid::from_u128(7);
        let token = scope("ListRuns", &["a", "b"]).encode(key);
        assert_eq!(scope("ListRuns", &["b", "a"]).decode(&token), Ok(Some(key)));
        let others = [
            scope("ListSessions", &["a", "b"]),
            scope("ListRuns", &["ab"]),
            scope("ListRuns", &[]),
            PageScope::new("ListRuns", &TenantId::new("other")).with("statuses", ["a", "b"]),
        ];
        for other in others {
            assert_eq!(other.decode::<Uuid>(&token), Err(Refusal::PageTokenInvalid));
        }
    }

    #[test]
    fn an_empty_token_is_the_first_page() {
        assert_eq!(scope("ListRuns", &[]).decode::<Uuid>(""), Ok(None));
    }

    fn fill(sizes: &[usize], page: i64, max_bytes: usize) -> (Vec<usize>, bool) {
        let mut fill = PageFill::new(page, max_bytes);
        while let Some(wanted) = fill.wants() {
            let rest = &sizes[fill.items.len()..];
            fill.take(rest.iter().copied().take(wanted as usize).collect(), wanted);
        }
        let page = fill.finish(|_| "more".to_owned());
        (page.items, page.next_token == "more")
    }

    #[test]
    fn a_page_ends_early_at_its_bytes_but_has_one_entry() {
        assert_eq!(fill(&[60, 60, 60], 10, 100), (vec![60], true));
        assert_eq!(fill(&[600, 1], 10, 100), (vec![600], true));
        assert_eq!(fill(&[50, 50], 10, 100), (vec![50, 50], false));
    }

    #[test]
    fn a_page_that_has_entries_can_end_early_and_says_that_more_follow() {
        let mut empty: PageFill<usize> = PageFill::new(10, 100);
        assert!(!empty.end_early());
        assert_eq!(empty.wants(), Some(11), "it is not full");
        let mut begun = PageFill::new(100, 100);
        begun.take(vec![1; CHUNK as usize + 1], CHUNK + 1);
        assert!(begun.end_early());
        assert_eq!(begun.wants(), None);
        let page = begun.finish(|_| "more".to_owned());
        assert_eq!((page.items.len() as i64, page.next_token.as_str()), (CHUNK + 1, "more"));
    }

    proptest! {
        #[test]
        fn any_other_text_is_refused(token in ".+") {
            prop_assert_eq!(scope("ListRuns", &[]).decode::<Uuid>(&token), Err(Refusal::PageTokenInvalid));
        }

        #[test]
        fn a_position_is_read_back(fence in any::<i64>(), seq in any::<i64>()) {
            let position = EventPosition { fence, seq };
            prop_assert_eq!(EventPosition::from_bytes(position.to_bytes()), position);
        }

        #[test]
        fn pages_have_every_entry_once(rows in 0usize..300, page in 1i64..200) {
            let sizes = vec![1; rows];
            let mut seen = 0;
            loop {
                let (items, more) = fill(&sizes[seen..], page, 150);
                seen += items.len();
                prop_assert!(items.len() as i64 <= page);
                if !more { break }
                prop_assert!(!items.is_empty());
            }
            prop_assert_eq!(seen, rows);
        }
    }
}
