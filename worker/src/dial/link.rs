//! The current connection, for unary calls beside the stream.

use tonic::{metadata::AsciiMetadataValue, transport::Channel};

/// The current connection. It changes with each stream.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) channel: Channel,
    pub(crate) worker_id: String,
    pub(crate) authorization: Option<AsciiMetadataValue>,
}
