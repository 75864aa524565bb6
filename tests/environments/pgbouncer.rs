//! A database behind PgBouncer.

use std::path::Path;
use std::process::Command;

use crate::program::{Program, as_user_of_postgres, installed, write};

/// PgBouncer before the cluster of the tests.
pub struct PgBouncer(Program);

impl PgBouncer {
    /// Starts PgBouncer before the tests' cluster. `settings` are lines of its `pgbouncer` section, such as `pool_mode = transaction`.
    /// Without any, it has its defaults: a pool in session mode of 20 connections.
    pub async fn start(settings: &str) -> Self {
        let cluster = devpg::testing::shared();
        let command = |folder: &Path, port: u16| {
            let users = folder.join("users.txt");
            write(&users, "\"postgres\" \"\"\n");
            let config = format!(
                "[databases]\n\
                 * = host={socket} port={server}\n\
                 [pgbouncer]\n\
                 listen_addr = 127.0.0.1\n\
                 listen_port = {port}\n\
                 unix_socket_dir =\n\
                 auth_type = trust\n\
                 auth_file = {users}\n\
                 {settings}\n",
                socket = cluster.socket_dir().display(),
                server = cluster.port(),
                users = users.display(),
            );
            write(&folder.join("pgbouncer.ini"), config);
            let mut command = Command::new(installed("pgbouncer"));
            command.arg(folder.join("pgbouncer.ini"));
            as_user_of_postgres(&mut command);
            command
        };
        Self(Program::start("PgBouncer", command).await)
    }

    /// The URL of a database of the cluster, through PgBouncer.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.0.address)
    }

    /// Its log.
    pub fn log(&self) -> String {
        self.0.log()
    }
}
