//! What CancelRun and CancelSession ask alike.

use std::time::Duration;

use super::fields::{Fields, Path};

/// How long a worker may take to stop, when the caller does not say.
const GRACE_DEFAULT: Duration = Duration::from_secs(5);

/// Why and with what grace a cancel is asked for, in CancelRun and CancelSession.
pub fn cancel(fields: &mut Fields<'_>, reason: String, grace: Option<prost_types::Duration>) -> (String, Duration) {
    let limits = fields.limits;
    let reason = fields.prose(Path::Root.field("reason"), reason, limits.description);
    let path = Path::Root.field("grace");
    (reason, fields.duration_or(path, grace, GRACE_DEFAULT, Duration::ZERO, limits.cancel_grace))
}
