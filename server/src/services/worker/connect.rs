//! WorkerService.Connect: the gRPC side of a worker's stream.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use proto::v1;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::edge::caller::Caller;
use crate::edge::convert::ToProto;
use crate::edge::respond::caller_of;
use crate::edge::status::{status_of, unreadable};
use crate::services::worker::frames::{hello, worker_frame};
use crate::services::worker::workers::Workers;
use engine::domain::frame::ServerFrame;
use engine::domain::{Limits, Refusal};
use engine::serve::frames::{Broken, serve};

/// How long a worker may take to send Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

type Frames = Streaming<v1::ConnectRequest>;

/// Answers at once, because some clients wait for headers before they send Hello. A task of its own then serves the stream.
pub async fn connect(
    workers: Workers,
    limits: Arc<Limits>,
    request: Request<Frames>,
) -> Result<Response<BoxStream<'static, Result<v1::ConnectResponse, Status>>>, Status> {
    let caller = caller_of(&request)?;
    let (opened, frames) = oneshot::channel();
    let (ended, end) = oneshot::channel();
    let all_sent = CancellationToken::new();
    let (tasks, closing) = (workers.streams().clone(), all_sent.clone());
    let inbound = request.into_inner();
    tasks.spawn(async move {
        let result = converse(&workers, caller, inbound, &limits, opened).await;
        // A worker that has gone away does not read why its stream ended.
        let _ = ended.send(result.err());
        closing.cancel();
    });

    // All frames that the stream's task sent, then the error with which it ended, if any.
    let frames = futures::stream::once(frames)
        .filter_map(|opened| async { opened.ok() })
        .flat_map(move |frames: mpsc::Receiver<ServerFrame>| until_drained(frames, all_sent.clone()))
        .map(|frame| Ok(frame.to_proto()));
    let end = futures::stream::once(end).filter_map(|end| async { end.ok().flatten().map(Err) });
    Ok(Response::new(frames.chain(end).boxed()))
}

/// The frames that were sent before `all_sent`.
fn until_drained(frames: mpsc::Receiver<ServerFrame>, all_sent: CancellationToken) -> BoxStream<'static, ServerFrame> {
    futures::stream::unfold((frames, all_sent), |(mut frames, all_sent)| async move {
        let frame = tokio::select! {
            biased;
            frame = frames.recv() => frame,
            () = all_sent.cancelled() => frames.try_recv().ok(),
        };
        frame.map(|frame| (frame, (frames, all_sent)))
    })
    .boxed()
}

/// Reads Hello and opens the stream, then serves all later frames until the end.
async fn converse(
    workers: &Workers,
    caller: Caller,
    mut inbound: Frames,
    limits: &Arc<Limits>,
    opened: oneshot::Sender<mpsc::Receiver<ServerFrame>>,
) -> Result<(), Status> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, inbound.message()).await;
    let first = first.map_err(|_| {
        let text = format!("expected Hello as the first frame within {HELLO_TIMEOUT:?}, got nothing");
        status_of(Refusal::ProtocolViolation(text))
    })?;
    let Some(first) = first.map_err(unreadable)? else { return Ok(()) };
    let hello = hello(first, limits).map_err(status_of)?;
    let (connection, frames) = workers.open(caller, hello).await.map_err(status_of)?;
    // If the client has gone away, reading its next frame fails below.
    let _ = opened.send(frames);

    let limits = limits.clone();
    let frames = inbound.map(move |frame| match frame {
        Ok(frame) => worker_frame(frame, &limits).map_err(status_of),
        Err(status) => Err(unreadable(status)),
    });
    serve(workers.engine().clone(), connection, frames).await.map_err(|broken| match broken {
        Broken::Unreadable(status) => status,
        Broken::Ended(error) => status_of(error),
    })
}
