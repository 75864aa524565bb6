//! A transaction pooler between the doctor and PostgreSQL, like PgBouncer with `pool_mode = transaction`: a client has
//! a connection to PostgreSQL only during a transaction.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use super::{findings, ids, one};
use crate::ops::fixture::Fixture;

#[tokio::test]
async fn a_transaction_pooler_is_reported() {
    let fixture = Fixture::empty().await;
    let url = fixture.database_url();
    assert_eq!(findings(&url, &[]), []);
    let database = url.split('/').nth(3).unwrap().split('?').next().unwrap();
    let port = Pooler::before(database);
    let found = findings(&format!("postgres://postgres@127.0.0.1:{port}/{database}"), &[]);
    assert_eq!(ids(&found), ["pooler"]);
    assert!(one(&found, "pooler").mend.contains("pool_mode = session"), "{found:?}");
}

#[derive(Debug)]
struct Pooler {
    socket: PathBuf,
    database: String,
    /// Idle connections, used last in, first out.
    idle: Mutex<Vec<UnixStream>>,
}

impl Pooler {
    /// Serves until the test process ends, and returns its port.
    fn before(database: &str) -> u16 {
        let cluster = devpg::testing::shared();
        let socket = cluster.socket_dir().join(format!(".s.PGSQL.{}", cluster.port()));
        let pooler = Arc::new(Self { socket, database: database.to_owned(), idle: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let pooler = Arc::clone(&pooler);
                // A client may disconnect at any time.
                thread::spawn(move || pooler.serve(client).is_ok());
            }
        });
        port
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        greet(&mut client)?;
        let mut own = None;
        loop {
            let (kind, question) = message(&mut client)?;
            if kind == b'X' {
                return Ok(());
            }
            let mut server = match own.take() {
                Some(server) => server,
                None => self.take()?,
            };
            server.write_all(&question)?;
            // PostgreSQL answers a query or a sync until it is ready, and then says whether a transaction is open.
            let is_asked = matches!(kind, b'Q' | b'S');
            if is_asked && answer(&mut server, &mut client)? == b'I' {
                self.idle.lock().unwrap().push(server);
            } else {
                own = Some(server);
            }
        }
    }

    fn take(&self) -> io::Result<UnixStream> {
        if let Some(server) = self.idle.lock().unwrap().pop() {
            return Ok(server);
        }
        let mut server = UnixStream::connect(&self.socket)?;
        let text = format!("user\0postgres\0database\0{}\0\0", self.database);
        let length = u32::try_from(text.len() + 8).unwrap();
        server.write_all(&[&length.to_be_bytes()[..], &PROTOCOL.to_be_bytes(), text.as_bytes()].concat())?;
        while message(&mut server)?.0 != b'Z' {}
        Ok(server)
    }
}

/// Version 3.0 of the protocol. A client that asks for encryption sends another number first.
const PROTOCOL: u32 = 196_608;

/// Accepts a client as any user.
fn greet(client: &mut TcpStream) -> io::Result<()> {
    loop {
        let mut head = [0; 8];
        client.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        client.read_exact(&mut vec![0; length - 8])?;
        if head[4..] == PROTOCOL.to_be_bytes() {
            break;
        }
        client.write_all(b"N")?;
    }
    client.write_all(b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x02Z\0\0\0\x05I")
}

/// Forwards the server's answer, and returns the server's transaction state after it.
fn answer(server: &mut UnixStream, client: &mut TcpStream) -> io::Result<u8> {
    loop {
        let (kind, answer) = message(server)?;
        client.write_all(&answer)?;
        if kind == b'Z' {
            return Ok(answer[5]);
        }
    }
}

/// One message: its kind, and all its bytes.
fn message(from: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let mut all = head.to_vec();
    all.resize(length + 1, 0);
    from.read_exact(&mut all[5..])?;
    Ok((head[0], all))
}
