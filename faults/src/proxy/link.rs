//! One connection through a proxy: a client's socket, a server's socket, and the bytes between them.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::direction::Direction;
use super::filter::{Filter, Passed};
use super::orders::{Cut, Orders};

/// The most bytes of one read.
const CHUNK: usize = 16 * 1024;

/// An open link.
pub(super) struct Link {
    client: TcpStream,
    server: TcpStream,
    filter: Box<dyn Filter>,
    orders: watch::Receiver<Orders>,
    cuts: u64,
    to_server: Direction,
    to_client: Direction,
    /// Set once a trap has sprung: the link ends then, and reads nothing more from the server.
    end: Option<(Cut, Instant)>,
}

/// An event of a link.
enum Happened {
    ClientReadable,
    ServerReadable,
    /// Bytes can be written, or are due.
    Due,
    Ordered,
    /// The proxy was dropped.
    Abandoned,
    TrapOver(Cut),
}

impl Link {
    /// `begun` are the orders when the client connected.
    pub(super) fn new(
        client: TcpStream,
        server: TcpStream,
        filter: Box<dyn Filter>,
        orders: watch::Receiver<Orders>,
        begun: &Orders,
    ) -> Self {
        let (to_server, to_client) = (Direction::new(begun.to_server), Direction::new(begun.to_client));
        Self { client, server, filter, orders, cuts: begun.cuts, to_server, to_client, end: None }
    }

    /// Runs to the end of the link.
    pub(super) async fn run(mut self) {
        match self.carry().await {
            Ok(Cut::Fin) => {
                // Both sides read all bytes, then the end.
                let _ = self.client.shutdown().await;
                let _ = self.server.shutdown().await;
            }
            // A break of one side breaks the other.
            Ok(Cut::Rst) | Err(_) => {
                let _ = self.client.set_zero_linger();
                let _ = self.server.set_zero_linger();
            }
        }
    }

    async fn carry(&mut self) -> io::Result<Cut> {
        let mut buffer = vec![0; CHUNK];
        // The orders may have changed while the connection to the server was opened.
        if let Some(cut) = self.obey() {
            return Ok(cut);
        }
        loop {
            match self.happens().await? {
                Happened::ClientReadable => {
                    if let Some(bytes) = read(&self.client, &mut buffer)? {
                        self.passes(bytes.is_empty(), bytes, Side::Client);
                    }
                }
                Happened::ServerReadable => {
                    if let Some(bytes) = read(&self.server, &mut buffer)? {
                        self.passes(bytes.is_empty(), bytes, Side::Server);
                    }
                }
                Happened::Due => {}
                Happened::Ordered => {
                    if let Some(cut) = self.obey() {
                        return Ok(cut);
                    }
                }
                Happened::Abandoned => return Ok(Cut::Rst),
                Happened::TrapOver(cut) => return Ok(cut),
            }
            self.to_server.write(&self.server)?;
            self.to_client.write(&self.client)?;
            if self.to_server.is_over() {
                self.to_server.is_closed = true;
                self.server.shutdown().await?;
            }
            if self.to_client.is_over() {
                self.to_client.is_closed = true;
                self.client.shutdown().await?;
            }
            if self.to_server.is_closed && self.to_client.is_closed {
                return Ok(Cut::Fin);
            }
        }
    }

    fn passes(&mut self, is_end: bool, bytes: &[u8], from: Side) {
        if is_end {
            match from {
                Side::Client => self.to_server.is_ended = true,
                Side::Server => self.to_client.is_ended = true,
            }
            return;
        }
        // Once a trap has sprung, the server still gets the client's bytes, but the client gets none.
        let mut passed = Passed::default();
        match from {
            Side::Client => self.filter.client_sent(bytes, &mut passed),
            Side::Server if self.end.is_some() => return,
            Side::Server => self.filter.server_sent(bytes, &mut passed),
        }
        self.to_server.push(passed.to_server);
        self.to_client.push(passed.to_client);
        if let (Some((cut, after)), None) = (passed.cut, self.end) {
            self.end = Some((cut, Instant::now() + after));
        }
    }

    /// Adopts the current orders. Returns how the link ends, if they end it.
    fn obey(&mut self) -> Option<Cut> {
        let orders = self.orders.borrow_and_update();
        let goes_on = self.to_server.flow(orders.to_server) & self.to_client.flow(orders.to_client);
        let is_cut = std::mem::replace(&mut self.cuts, orders.cuts) != orders.cuts;
        match (is_cut, goes_on) {
            (true, _) => Some(orders.cut),
            (false, true) => None,
            (false, false) => Some(Cut::Rst),
        }
    }

    async fn happens(&mut self) -> io::Result<Happened> {
        let (to_server, to_client) = (self.to_server.due(), self.to_client.due());
        let now = Instant::now();
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        let later = [to_server, to_client].into_iter().flatten().filter(|due| *due > now).min();
        let flushed = self.to_server.is_empty() && self.to_client.is_empty();
        let end = self.end;
        tokio::select! {
            biased;
            ordered = self.orders.changed() => {
                Ok(if ordered.is_ok() { Happened::Ordered } else { Happened::Abandoned })
            }
            ready = self.server.writable(), if is_due(to_server) => ready.map(|()| Happened::Due),
            ready = self.client.writable(), if is_due(to_client) => ready.map(|()| Happened::Due),
            cut = until_end(end), if end.is_some() && flushed => Ok(Happened::TrapOver(cut)),
            ready = self.server.readable(), if self.to_client.has_room() => ready.map(|()| Happened::ServerReadable),
            ready = self.client.readable(), if self.to_server.has_room() => ready.map(|()| Happened::ClientReadable),
            () = sleep_until(later.unwrap_or(now)), if later.is_some() => Ok(Happened::Due),
        }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

async fn until_end(end: Option<(Cut, Instant)>) -> Cut {
    match end {
        Some((cut, at)) => {
            sleep_until(at).await;
            cut
        }
        None => std::future::pending().await,
    }
}

/// The bytes that have arrived: empty at the end of the stream, none if there are none yet.
fn read<'b>(source: &TcpStream, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
    match source.try_read(buffer) {
        Ok(count) => Ok(Some(&buffer[..count])),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the filter of a link.
pub(super) type MakeFilter = Arc<dyn Fn() -> Box<dyn Filter> + Send + Sync>;
