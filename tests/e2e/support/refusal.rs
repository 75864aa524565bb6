//! Why a call was refused.

use tonic_types::StatusExt;

/// The reason of the `ErrorInfo` that every error carries.
pub fn reason(status: &tonic::Status) -> String {
    match status.get_details_error_info() {
        Some(info) if info.domain == "ops" => info.reason,
        other => panic!("an error without its reason: {status:?} {other:?}"),
    }
}
