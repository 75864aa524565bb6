//! A server behind HAProxy.

use std::path::Path;
use std::process::Command;

use proto::v1::*;

use crate::program::{Program, installed, write};
use crate::support::Fixture;

/// HAProxy before servers, for gRPC.
pub struct Haproxy(Program);

impl Haproxy {
    /// Starts HAProxy before the servers at these HOST:PORTs. `defaults` are lines of its `defaults` section, such as
    /// `timeout client 1h`; those of Debian's example come first, so a later one of the same name wins.
    pub async fn before(servers: &[&str], defaults: &str) -> Self {
        let command = |folder: &Path, port: u16| {
            let servers = servers.iter().enumerate();
            let servers: String = servers.map(|(n, server)| format!("server s{n} {server} proto h2\n")).collect();
            let config = format!(
                "global\n\
                 log stdout format raw local0\n\
                 defaults\n\
                 log global\n\
                 mode http\n\
                 option httplog\n\
                 timeout connect 5000\n\
                 timeout client 50000\n\
                 timeout server 50000\n\
                 {defaults}\n\
                 frontend grpc\n\
                 bind 127.0.0.1:{port} proto h2\n\
                 default_backend servers\n\
                 backend servers\n\
                 {servers}"
            );
            write(&folder.join("haproxy.cfg"), config);
            let mut command = Command::new(installed("haproxy"));
            command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg"));
            command
        };
        Self(Program::start("HAProxy", command).await)
    }

    /// The URL for clients and workers.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Its log.
    pub fn log(&self) -> String {
        self.0.log()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_pass_through_haproxy() {
    let fixture = Fixture::new().await;
    let haproxy = Haproxy::before(&[&fixture.address()], "").await;
    let client = client::Client::connect(&haproxy.url(), &client::Settings::default()).await.expect("HAProxy answers");
    let request = CreateSessionRequest { name: "through HAProxy".into(), ..Default::default() };
    let answer = client.sessions().create_session(request).await;
    let answer = answer.unwrap_or_else(|error| panic!("{error:?}, HAProxy says: {}", haproxy.log()));
    let session = answer.into_inner().session.expect("it is answered");
    assert_eq!(fixture.session_now(&session.id).await.name, "through HAProxy");
}
