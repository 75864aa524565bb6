//! The proxy between real sockets.

mod http2;
mod network;
mod postgres;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Protocol, Proxy};

/// Fails a test that hangs. No test depends on its length.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A client and a server with a link between them.
struct Pair {
    proxy: Proxy,
    listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    async fn open(speaks: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::open(speaks, Some(listener.local_addr().unwrap())).await.unwrap();
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        Self { proxy, listener, client, server }
    }

    /// Another link.
    async fn again(&mut self) {
        self.client = TcpStream::connect(self.proxy.address()).await.unwrap();
        self.server = in_time(self.listener.accept()).await.unwrap().0;
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, work).await.expect("it comes in time")
}

async fn says(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
}

/// Asserts that exactly these bytes come next.
async fn hears(stream: &mut TcpStream, bytes: &[u8]) {
    let mut heard = vec![0; bytes.len()];
    in_time(stream.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard, bytes, "{:?} is not {:?}", String::from_utf8_lossy(&heard), String::from_utf8_lossy(bytes));
}

/// Asserts that no byte has arrived, after bytes that were sent later in the other direction have.
fn has_heard_nothing(stream: &TcpStream) {
    let mut byte = [0];
    let read = stream.try_read(&mut byte);
    assert!(matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{read:?}");
}

/// Asserts that the stream ends in order.
async fn hears_the_end(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    in_time(stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
}

/// Asserts that the connection breaks.
async fn hears_a_reset(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let error = in_time(stream.read_to_end(&mut rest)).await.unwrap_err();
    assert_eq!((error.kind(), rest.as_slice()), (std::io::ErrorKind::ConnectionReset, &b""[..]));
}
