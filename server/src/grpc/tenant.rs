//! Whose request it is.

use tonic::metadata::MetadataMap;

use crate::domain::TenantId;

/// The tenant of a request, by its metadata. An installation has one.
pub fn tenant_of(_metadata: &MetadataMap) -> TenantId {
    TenantId::single()
}

/// A request's tenant and its message.
pub fn open<T>(request: tonic::Request<T>) -> (TenantId, T) {
    (tenant_of(request.metadata()), request.into_inner())
}
