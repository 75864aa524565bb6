//! A network before a server that a test can break.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

const BUFFER: usize = 16 * 1024;

/// What the network lets through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flow {
    All,
    /// Only what the client sends. Answers are held back silently.
    Questions,
    /// Connections are closed as soon as they are made.
    Nothing,
}

/// A relay before a server. It ends when dropped.
pub struct Relay {
    /// Its address, as HOST:PORT.
    pub address: String,
    flow: watch::Sender<Flow>,
    _relaying: JoinSet<()>,
}

impl Relay {
    /// Starts a relay before the server at this HOST:PORT.
    pub async fn before(server: &str, flow: Flow) -> Self {
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let flow = watch::Sender::new(flow);
        let (flows, mut relaying) = (flow.subscribe(), JoinSet::new());
        relaying.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connection(client, server.clone(), flows.clone()));
            }
        });
        Self { address, flow, _relaying: relaying }
    }

    pub fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }
}

async fn connection(client: TcpStream, server: String, mut flow: watch::Receiver<Flow>) {
    let mut cut = flow.clone();
    let relaying = async { relay(client, TcpStream::connect(server).await?, &mut flow).await };
    tokio::select! {
        // Closes both sides, however the relay ends.
        _ended = relaying => {}
        _is_cut = cut.wait_for(|flow| *flow == Flow::Nothing) => {}
    }
}

async fn relay(client: TcpStream, server: TcpStream, flow: &mut watch::Receiver<Flow>) -> io::Result<()> {
    let ((from_client, to_client), (from_server, to_server)) = (tokio::io::split(client), tokio::io::split(server));
    tokio::try_join!(pump(from_client, to_server, None), pump(from_server, to_client, Some(flow))).map(drop)
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut flow: Option<&mut watch::Receiver<Flow>>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        if let Some(flow) = &mut flow {
            flow.wait_for(|flow| *flow == Flow::All).await.map_err(io::Error::other)?;
        }
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
