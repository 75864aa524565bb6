//! Accepts connections, and serves HTTP/1 and HTTP/2 on each within the bounds of [`TransportConfig`]. The HTTP/2 library
//! itself bounds floods of empty DATA, of CONTINUATION, PING and SETTINGS frames.

use std::io::{self, Cursor};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::transport::TransportConfig;

/// The first bytes that a client of HTTP/2 sends.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long to wait after accepting has failed, for example because the process has no file handles left. Without a pause it
/// would fail again at once.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves the connections that the listener accepts until `closing`, then waits until each has ended. Dropping the future cuts
/// all connections.
pub async fn serve(listener: TcpListener, router: Router, config: TransportConfig, closing: CancellationToken) {
    serve_beyond(listener, router, config, closing.clone(), closing).await;
}

/// The same, but accepts connections only until `enough`, and serves those that it has until `closing`.
pub async fn serve_beyond(
    listener: TcpListener,
    router: Router,
    config: TransportConfig,
    enough: CancellationToken,
    closing: CancellationToken,
) {
    let builder = builder(&config);
    let mut connections = JoinSet::new();
    let mut full = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = enough.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "accepting connections fails");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        let was_full = full;
        full = connections.len() >= config.max_connections;
        if full {
            if !was_full {
                tracing::warn!(
                    max_connections = config.max_connections,
                    "new connections are closed, because there are too many"
                );
            }
            continue;
        }
        let (builder, router) = (builder.clone(), router.clone());
        connections.spawn(connection(stream, builder, router, config.clone(), closing.clone()));
    }
    // From here on, new connections are refused.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn builder(config: &TransportConfig) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.http1_header_timeout)
        .max_buf_size(config.max_header_bytes as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_streams)
        .max_pending_accept_reset_streams(config.max_pending_resets)
        .max_local_error_reset_streams(config.max_error_resets)
        .max_header_list_size(config.max_header_bytes)
        .max_send_buf_size(config.send_buffer_bytes as usize)
        .keep_alive_interval(config.keepalive_interval)
        .keep_alive_timeout(config.keepalive_timeout);
    builder
}

/// Serves one connection to its end.
async fn connection(
    stream: TcpStream,
    builder: Builder<TokioExecutor>,
    router: Router,
    config: TransportConfig,
    closing: CancellationToken,
) {
    // Frames are small, and must not wait for more data.
    let _ = stream.set_nodelay(true);
    let opened = tokio::time::timeout(config.handshake_timeout, begin(stream));
    let Some(Ok(Ok(io))) = closing.run_until_cancelled(opened).await else { return };
    let service = TowerToHyperService::new(router);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = until_old_or_closing(&config, &closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

async fn until_old_or_closing(config: &TransportConfig, closing: &CancellationToken) {
    match config.max_connection_age {
        Some(age) => drop(tokio::time::timeout(age, closing.cancelled()).await),
        None => closing.cancelled().await,
    }
}

/// Waits until the first bytes of the client show whether it speaks HTTP/2: they are its preface, or differ from it. The HTTP
/// library would wait for them without a timeout.
async fn begin(mut stream: TcpStream) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    let mut first = [0; PREFACE.len()];
    let mut read = 0;
    while read < first.len() && first[..read] == PREFACE[..read] {
        match stream.read(&mut first[read..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => read += more,
        }
    }
    let (rest, write) = stream.into_split();
    Ok(tokio::io::join(AsyncReadExt::chain(Cursor::new(first).take(read as u64), rest), write))
}

/// Whether only this connection was lost before it was accepted, so that the next one can be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
