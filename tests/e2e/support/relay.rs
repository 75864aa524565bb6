//! A network that a test can break, before a server or a database.

use std::io;
use std::path::PathBuf;

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

const BUFFER: usize = 16 * 1024;

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flow {
    All,
    /// Only what the client says; what it is told is held back, and nobody learns of it.
    Questions,
    /// Connections are cut as soon as they are made.
    Nothing,
}

/// Stands before a server. It ends when dropped.
pub struct Relay {
    /// Where it listens, as HOST:PORT.
    pub address: String,
    flow: watch::Sender<Flow>,
    _relaying: JoinSet<()>,
}

/// What is behind a relay.
#[derive(Clone)]
enum Behind {
    Tcp(String),
    Unix(PathBuf),
}

impl Relay {
    /// Before the server at this HOST:PORT.
    pub async fn before(server: &str, flow: Flow) -> Self {
        Self::start(Behind::Tcp(server.to_owned()), flow).await
    }

    /// Before the database of this URL, which has a socket; and the URL that leads through the relay.
    pub async fn before_database(url: &str, flow: Flow) -> (Self, String) {
        let options: PgConnectOptions = url.parse().expect("a URL");
        let folder = options.get_socket().expect("the databases of tests have sockets");
        let relay = Self::start(Behind::Unix(folder.join(format!(".s.PGSQL.{}", options.get_port()))), flow).await;
        let name = options.get_database().expect("it has a name");
        let through = format!("postgres://{}@{}/{name}", options.get_username(), relay.address);
        (relay, through)
    }

    async fn start(behind: Behind, flow: Flow) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let flow = watch::Sender::new(flow);
        let (flows, mut relaying) = (flow.subscribe(), JoinSet::new());
        relaying.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connection(client, behind.clone(), flows.clone()));
            }
        });
        Self { address, flow, _relaying: relaying }
    }

    pub fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }
}

async fn connection(client: TcpStream, behind: Behind, mut flow: watch::Receiver<Flow>) {
    let mut cut = flow.clone();
    let relaying = async {
        match behind {
            Behind::Tcp(address) => relay(client, TcpStream::connect(address).await?, &mut flow).await,
            Behind::Unix(path) => relay(client, UnixStream::connect(path).await?, &mut flow).await,
        }
    };
    tokio::select! {
        // However it ends, both sides are closed.
        _ended = relaying => {}
        _is_cut = cut.wait_for(|flow| *flow == Flow::Nothing) => {}
    }
}

async fn relay<S>(client: TcpStream, server: S, flow: &mut watch::Receiver<Flow>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite,
{
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
