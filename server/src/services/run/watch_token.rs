//! The token that resumes a watch. It is opaque to clients, and valid on every server of the same database.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use engine::domain::filter::RunFilter;
use engine::domain::{Identity, Refusal, TenantId, token};
use engine::store::database::DatabaseIdentity;
use engine::store::feed::{CHANGES_KEPT, FeedCursor};

/// The feed keeps changes for an hour. A token must be younger by a margin, so that no change is removed while the watch reads.
const TOKEN_AGE_MAX: Duration = CHANGES_KEPT.saturating_sub(Duration::from_secs(2 * 60));

const VERSION: u8 = 2;

#[derive(Debug, Serialize, Deserialize)]
struct Token {
    v: u8,
    db: String,
    tl: i32,
    at: DateTime<Utc>,
    s: String,
    f: String,
}

/// The token of a cursor, for watches with this filter.
pub fn encode(cursor: &FeedCursor, identity: &DatabaseIdentity, filter_hash: &str) -> String {
    let parts = Token {
        v: VERSION,
        db: identity.database.clone(),
        tl: identity.timeline,
        at: cursor.taken_at,
        s: cursor.snapshot().to_owned(),
        f: filter_hash.to_owned(),
    };
    token::seal(&serde_json::to_vec(&parts).unwrap_or_default())
}

/// The cursor of a token. Refused if the token is damaged, belongs to another database or filter, or is too old.
pub fn decode(
    token: &str,
    identity: &DatabaseIdentity,
    filter_hash: &str,
    now: DateTime<Utc>,
) -> Result<FeedCursor, Refusal> {
    let bytes = token::open(token).ok_or(Refusal::ResumeTokenInvalid)?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|_| Refusal::ResumeTokenInvalid)?;
    let valid = token.v == VERSION
        && token.db == identity.database
        && token.f == filter_hash
        && token.at <= now + TimeDelta::minutes(1);
    let cursor = FeedCursor::parse(&token.s, token.at).filter(|_| valid).ok_or(Refusal::ResumeTokenInvalid)?;
    let age = now.signed_duration_since(token.at).to_std().unwrap_or_default();
    // A promoted standby may reuse transaction ids.
    if token.tl != identity.timeline || age > TOKEN_AGE_MAX {
        return Err(Refusal::RevisionCompacted);
    }
    Ok(cursor)
}

/// The same for equal filters of a tenant, whatever the order of their lists.
pub fn filter_hash(tenant: &TenantId, filter: &RunFilter) -> String {
    let identity = filter.identify(Identity::of("WatchRuns").with("tenant", [tenant.as_str()]));
    URL_SAFE_NO_PAD.encode(&identity.hash()[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> DatabaseIdentity {
        DatabaseIdentity { database: "7/5".into(), timeline: 1 }
    }

    fn cursor(now: DateTime<Utc>) -> FeedCursor {
        FeedCursor::parse("10:20:11,15", now).expect("it is a snapshot")
    }

    #[test]
    fn a_token_is_read_back() {
        let now = Utc::now();
        let token = encode(&cursor(now), &identity(), "f");
        assert_eq!(decode(&token, &identity(), "f", now), Ok(cursor(now)));
    }

    #[test]
    fn a_token_of_another_database_filter_or_future_is_refused() {
        let now = Utc::now();
        let token = encode(&cursor(now), &identity(), "f");
        let other = DatabaseIdentity { database: "7/6".into(), timeline: 1 };
        assert_eq!(decode(&token, &other, "f", now), Err(Refusal::ResumeTokenInvalid));
        assert_eq!(decode(&token, &identity(), "g", now), Err(Refusal::ResumeTokenInvalid));
        assert_eq!(decode(&token, &identity(), "f", now - TimeDelta::hours(2)), Err(Refusal::ResumeTokenInvalid));
        assert_eq!(decode("rubbish", &identity(), "f", now), Err(Refusal::ResumeTokenInvalid));
    }

    #[test]
    fn a_token_that_is_too_old_or_of_another_timeline_is_refused_as_compacted() {
        let now = Utc::now();
        let token = encode(&cursor(now), &identity(), "f");
        let promoted = DatabaseIdentity { timeline: 2, ..identity() };
        assert_eq!(decode(&token, &promoted, "f", now), Err(Refusal::RevisionCompacted));
        for (age, expected) in [
            (TOKEN_AGE_MAX, Ok(cursor(now))),
            (TOKEN_AGE_MAX + Duration::from_secs(1), Err(Refusal::RevisionCompacted)),
            (CHANGES_KEPT, Err(Refusal::RevisionCompacted)),
        ] {
            assert_eq!(decode(&token, &identity(), "f", now + age), expected, "{age:?}");
        }
    }
}
