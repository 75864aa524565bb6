//! The proxy: one address and the links through it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::filter::Plain;
use super::http2::Http2;
use super::link::{Link, MakeFilter};
use super::orders::{Cut, Orders};
use super::postgres::Session;
use super::trap::{Trap, Traps};

/// The most connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// The protocol of the links, in which traps find their points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Any protocol: there are no traps.
    Any,
    Postgres,
    Http2,
}

/// A proxy on a loopback address. Dropping it ends its links.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    listening: watch::Receiver<bool>,
    traps: Arc<Traps>,
    accepted: Arc<AtomicU64>,
    /// Bound but never listening, so that the port stays taken while connections are refused.
    _placeholder: TcpSocket,
    _task: JoinSet<()>,
}

impl Proxy {
    /// Opens a proxy in front of this server.
    ///
    /// # Errors
    ///
    /// A loopback port can not be bound.
    pub async fn open(protocol: Protocol, upstream: Option<SocketAddr>) -> io::Result<Self> {
        let placeholder = bound((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = placeholder.local_addr()?;
        let (orders, ordered) = watch::channel(Orders { upstream, ..Orders::default() });
        let (listens, listening) = watch::channel(false);
        let (traps, accepted) = (Arc::new(Traps::default()), Arc::new(AtomicU64::new(0)));
        let shared = Arc::clone(&traps);
        let filter: MakeFilter = match protocol {
            Protocol::Any => Arc::new(|| Box::new(Plain)),
            Protocol::Postgres => Arc::new(move || Box::new(Session::new(Arc::clone(&shared)))),
            Protocol::Http2 => Arc::new(move || Box::new(Http2::new(Arc::clone(&shared)))),
        };
        let mut task = JoinSet::new();
        task.spawn(serve(address, ordered, listens, filter, Arc::clone(&accepted)));
        let proxy = Self { address, orders, listening, traps, accepted, _placeholder: placeholder, _task: task };
        proxy.settled().await?;
        Ok(proxy)
    }

    /// The address at which it listens, which never changes.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Changes the orders, and returns when the proxy listens or refuses as they say. Links follow at once.
    ///
    /// # Errors
    ///
    /// The port can not be listened on any more.
    pub async fn order(&self, change: impl FnOnce(&mut Orders)) -> io::Result<()> {
        self.orders.send_modify(change);
        self.settled().await
    }

    /// Cuts all links.
    pub fn cut(&self, how: Cut) {
        self.orders.send_modify(|orders| {
            orders.cuts += 1;
            orders.cut = how;
        });
    }

    /// Sets a trap, which springs once.
    pub fn arm(&self, trap: Trap) {
        self.traps.arm(trap);
    }

    /// Removes all traps that have not sprung.
    pub fn disarm(&self) {
        self.traps.disarm();
    }

    /// How often its traps have sprung.
    pub fn sprung(&self) -> watch::Receiver<u64> {
        self.traps.sprung()
    }

    async fn settled(&self) -> io::Result<()> {
        let wanted = self.orders.borrow().listens();
        let gone = |_| io::Error::other(format!("the proxy at {} has ended", self.address));
        self.listening.clone().wait_for(|listening| *listening == wanted).await.map(drop).map_err(gone)
    }
}

/// A socket on this address. Several may hold it while at most one listens.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn serve(
    address: SocketAddr,
    mut orders: watch::Receiver<Orders>,
    listening: watch::Sender<bool>,
    filter: MakeFilter,
    accepted: Arc<AtomicU64>,
) {
    let mut links = JoinSet::new();
    loop {
        if orders.wait_for(Orders::listens).await.is_err() {
            return;
        }
        let listener = match bound(address).and_then(|socket| socket.listen(BACKLOG)) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%address, %error, "a proxy can not listen"),
        };
        listening.send_replace(true);
        accept(listener, &orders, &filter, &accepted, &mut links).await;
        listening.send_replace(false);
    }
}

/// Accepts until connections are to be refused. Links stay.
async fn accept(
    listener: TcpListener,
    orders: &watch::Receiver<Orders>,
    filter: &MakeFilter,
    accepted: &AtomicU64,
    links: &mut JoinSet<()>,
) {
    let mut closing = orders.clone();
    loop {
        let client = tokio::select! {
            biased;
            _ = closing.wait_for(|orders| !orders.listens()) => return,
            Some(_) = links.join_next(), if !links.is_empty() => continue,
            client = listener.accept() => client,
        };
        match client {
            Ok((client, _)) => {
                accepted.fetch_add(1, Ordering::Relaxed);
                links.spawn(Box::pin(begin(client, filter(), orders.clone())));
            }
            Err(error) => tracing::warn!(%error, "a proxy could not accept"),
        }
    }
}

async fn begin(client: TcpStream, filter: Box<dyn super::filter::Filter>, orders: watch::Receiver<Orders>) {
    let begun = orders.borrow().clone();
    let Some(upstream) = begun.upstream else { return };
    match TcpStream::connect(upstream).await {
        Ok(server) => {
            // Without this, small frames wait for each other, which no test needs.
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            Link::new(client, server, filter, orders, &begun).run().await;
        }
        Err(error) => {
            tracing::debug!(%upstream, %error, "no server is behind a proxy");
            let _ = client.set_zero_linger();
        }
    }
}
