//! ArtifactService.

pub mod artifacts;
pub mod convert;
pub mod grpc;
