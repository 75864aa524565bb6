//! The fields that CancelRun and CancelSession share.

use std::time::Duration;

use super::fields::{Fields, Path};

/// The default grace: how long a worker may take to stop.
const GRACE_DEFAULT: Duration = Duration::from_secs(5);

/// The reason and the grace of a cancel.
pub fn cancel(fields: &mut Fields<'_>, reason: String, grace: Option<prost_types::Duration>) -> (String, Duration) {
    let limits = fields.limits;
    let reason = fields.prose(Path::Root.field("reason"), reason, limits.description);
    let path = Path::Root.field("grace");
    (reason, fields.duration_or(path, grace, GRACE_DEFAULT, Duration::ZERO, limits.cancel_grace))
}
