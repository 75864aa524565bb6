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

/// A clock does not go back by more than this.
const FUTURE_MAX: TimeDelta = TimeDelta::days(1);

const VERSION: u8 = 2;

#[derive(Debug, Serialize, Deserialize)]
struct Token {
    v: u8,
    db: String,
    tl: i32,
    at: DateTime<Utc>,
    /// When the clock had gone back last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    back: Option<DateTime<Utc>>,
    s: String,
    f: String,
    #[serde(default)]
    feed: i64,
}

/// The token of a cursor, for watches with this filter.
pub fn encode(cursor: &FeedCursor, identity: &DatabaseIdentity, filter_hash: &str) -> String {
    let parts = Token {
        v: VERSION,
        db: identity.database.clone(),
        tl: identity.timeline,
        at: cursor.taken_at,
        back: identity.set_back_at,
        s: cursor.snapshot().to_owned(),
        f: filter_hash.to_owned(),
        feed: identity.feed,
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
    let is_of_this_clock = token.back == identity.set_back_at;
    let valid =
        token.v == VERSION && token.db == identity.database && token.f == filter_hash && token.at <= now + FUTURE_MAX;
    let cursor =
        FeedCursor::parse(&token.s, token.at, token.feed).filter(|_| valid).ok_or(Refusal::ResumeTokenInvalid)?;
    let age = now.signed_duration_since(token.at).to_std().unwrap_or_default();
    // A promoted standby may reuse transaction ids, and a restored database has other changes. The age of a token from before the clock
    // went back is not known, also until a server has noticed that: then the token is of the future.
    let is_of_the_future = token.at > now + TimeDelta::minutes(1);
    let is_of_this_history = token.tl == identity.timeline && token.feed == identity.feed;
    if !is_of_this_clock || is_of_the_future || !is_of_this_history || age > TOKEN_AGE_MAX {
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
        DatabaseIdentity { database: "7/5".into(), timeline: 1, set_back_at: None, feed: 9 }
    }

    fn cursor(now: DateTime<Utc>) -> FeedCursor {
        FeedCursor::parse("10:20:11,15", now, 9).expect("it is a snapshot")
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
        let other = DatabaseIdentity { database: "7/6".into(), ..identity() };
        assert_eq!(decode(&token, &other, "f", now), Err(Refusal::ResumeTokenInvalid));
        assert_eq!(decode(&token, &identity(), "g", now), Err(Refusal::ResumeTokenInvalid));
        assert_eq!(decode(&token, &identity(), "f", now - TimeDelta::days(2)), Err(Refusal::ResumeTokenInvalid));
        assert_eq!(decode("rubbish", &identity(), "f", now), Err(Refusal::ResumeTokenInvalid));
    }

    #[test]
    fn a_token_from_before_the_clock_went_back_is_refused_as_compacted() {
        let now = Utc::now();
        let token = encode(&cursor(now), &identity(), "f");
        let later = now - TimeDelta::hours(1);
        assert_eq!(decode(&token, &identity(), "f", later), Err(Refusal::RevisionCompacted), "nobody has noticed yet");
        let set_back = DatabaseIdentity { set_back_at: Some(later), ..identity() };
        assert_eq!(decode(&token, &set_back, "f", later), Err(Refusal::RevisionCompacted));
        let token = encode(&cursor(later), &set_back, "f");
        assert_eq!(decode(&token, &set_back, "f", later), Ok(cursor(later)));
    }

    #[test]
    fn a_token_that_is_too_old_or_of_another_timeline_is_refused_as_compacted() {
        let now = Utc::now();
        let token = encode(&cursor(now), &identity(), "f");
        for other in [DatabaseIdentity { timeline: 2, ..identity() }, DatabaseIdentity { feed: 10, ..identity() }] {
            assert_eq!(decode(&token, &other, "f", now), Err(Refusal::RevisionCompacted));
        }
        for (age, expected) in [
            (TOKEN_AGE_MAX, Ok(cursor(now))),
            (TOKEN_AGE_MAX + Duration::from_secs(1), Err(Refusal::RevisionCompacted)),
            (CHANGES_KEPT, Err(Refusal::RevisionCompacted)),
        ] {
            assert_eq!(decode(&token, &identity(), "f", now + age), expected, "{age:?}");
        }
    }
}
