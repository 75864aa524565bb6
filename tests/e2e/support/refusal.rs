//! Why a call was refused.

/// The reason of the `ErrorInfo` that every error carries.
pub fn reason(status: &tonic::Status) -> String {
    client::reason(status).unwrap_or_else(|| panic!("an error without its reason: {status:?}"))
}
