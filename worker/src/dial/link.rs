//! The way to the server that the worker is connected to, for calls beside the stream.

use tonic::{metadata::AsciiMetadataValue, transport::Channel};

/// The way to the server: changes at each reconnect.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) channel: Channel,
    pub(crate) worker_id: String,
    pub(crate) authorization: Option<AsciiMetadataValue>,
}
