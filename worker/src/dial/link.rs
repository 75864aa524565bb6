//! The connection for unary calls beside the stream.

use tonic::{metadata::AsciiMetadataValue, transport::Channel};

/// The connection for unary calls, to the server of the current stream. It is another one than the stream's, so that calls that are given
/// up, or refused by a proxy, can not end the stream. It opens with the first call, and changes with each stream.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) channel: Channel,
    pub(crate) worker_id: String,
    pub(crate) authorization: Option<AsciiMetadataValue>,
}
