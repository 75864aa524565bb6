//! A raw Connect call, frame by frame, without the rules of the protocol.

use proto::v1::connect_request::Frame as In;
use proto::v1::connect_response::Frame as Out;
use proto::v1::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Server, in_time};

/// Frames that may wait to be sent: as many as a test sends ahead.
const FRAMES: usize = 10_000;

/// A Connect call. Dropping it loses the stream.
#[derive(Debug)]
pub struct Wire {
    sender: Option<mpsc::Sender<ConnectRequest>>,
    answers: Streaming<ConnectResponse>,
}

impl Wire {
    /// Opens the call, and sends nothing yet.
    pub async fn open(server: &Server) -> Self {
        let (sender, frames) = mpsc::channel(FRAMES);
        let mut client = server.workers();
        let called = in_time("the headers", client.connect(ReceiverStream::new(frames))).await;
        Self { sender: Some(sender), answers: called.expect("the call is taken").into_inner() }
    }

    pub fn send(&self, frame: In) {
        let sender = self.sender.as_ref().expect("this side is open");
        // A stream that the server has ended accepts nothing. The test looks at the last frames of the server.
        let _ = sender.try_send(ConnectRequest { frame: Some(frame) });
    }

    /// Ends only this side.
    pub fn half_close(&mut self) {
        self.sender = None;
    }

    /// The next frame; none if the server has ended the stream well.
    pub async fn next(&mut self) -> Result<Option<Out>, Status> {
        let answer = in_time("a frame", self.answers.message()).await?;
        Ok(answer.map(|answer| answer.frame.expect("a frame of this version")))
    }

    /// Reads until the server ends the stream. Returns the error; none if it ended well.
    pub async fn end(&mut self) -> Option<Status> {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }
}
