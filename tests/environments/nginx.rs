//! A server behind nginx.

use std::path::Path;
use std::process::Command;

use proto::v1::*;

use crate::program::{Program, installed, write};
use crate::support::Fixture;

/// nginx before a server, for gRPC.
pub struct Nginx(Program);

impl Nginx {
    /// Starts nginx before the server at this HOST:PORT. `settings` are lines of its `server` block, such as `client_max_body_size 0;`.
    /// Without any, nginx has its defaults.
    pub async fn before(server: &str, settings: &str) -> Self {
        let command = |folder: &Path, port: u16| {
            let place = folder.display();
            let config = format!(
                "daemon off;\n\
                 pid {place}/pid;\n\
                 error_log stderr;\n\
                 worker_processes 1;\n\
                 {user}\
                 events {{}}\n\
                 http {{\n\
                 access_log off;\n\
                 client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
                 uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
                 server {{\n\
                 listen 127.0.0.1:{port} http2;\n\
                 {settings}\n\
                 location / {{ grpc_pass grpc://{server}; }}\n\
                 }}\n\
                 }}\n",
                // As root, nginx would give its workers to a user who may not write into the folder.
                user = if is_root() { "user root;\n" } else { "" },
            );
            write(&folder.join("nginx.conf"), config);
            let mut command = Command::new(installed("nginx"));
            command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
            command
        };
        Self(Program::start("nginx", command).await)
    }

    /// The URL for clients and workers.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Its error log.
    pub fn log(&self) -> String {
        self.0.log()
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_pass_through_nginx() {
    let fixture = Fixture::new().await;
    let nginx = Nginx::before(&fixture.address(), "").await;
    let client = client::Client::connect(&nginx.url(), &client::Settings::default()).await.expect("nginx answers");
    let request = CreateSessionRequest { name: "through nginx".into(), ..Default::default() };
    let answer = client.sessions().create_session(request).await;
    let answer = answer.unwrap_or_else(|error| panic!("{error:?}, nginx says: {}", nginx.log()));
    let session = answer.into_inner().session.expect("it is answered");
    assert_eq!(fixture.session_now(&session.id).await.name, "through nginx");
}
