//! `ops doctor`

use anyhow::Result;
use server::doctor::{Requirements, Severity};

use crate::{
    args::doctor::{DoctorArgs, DoctorFormat},
    config,
    errors::UsageError,
    exit::Exit,
    output,
};

mod deliveries;
mod http;
mod listen;
mod repairs;
mod report;
mod servers;

use report::Examined;

pub(crate) async fn execute(args: DoctorArgs) -> Result<Exit> {
    let mut examined = Vec::new();
    if let Some(url) = &args.database_url {
        let requirements =
            Requirements { connections: args.database_connections, long_transaction: args.long_transaction };
        let examination = Box::pin(server::doctor::examine(url, &requirements)).await;
        examined.push(Examined { kind: "database", name: config::redacted(url), examination });
    }
    for address in &args.server {
        let examination = Box::pin(servers::examine(address)).await;
        examined.push(Examined { kind: "server", name: address.to_string(), examination });
    }
    if let Some(address) = &args.listen {
        let examination = listen::examine(address).await;
        examined.push(Examined { kind: "listen", name: address.to_string(), examination });
    }
    if examined.is_empty() {
        return Err(UsageError::new(
            "nothing to examine: name a database with --database-url or --database-url-file, servers with --server, or an \
             address with --listen",
        )
        .into());
    }
    for it in &mut examined {
        it.examination.findings.sort_by_key(|finding| finding.severity);
    }
    output::print(match args.output {
        DoctorFormat::Table => report::text(&examined),
        DoctorFormat::Json => report::json(&examined)?,
    })?;
    let is_fault = |it: &Examined| it.examination.findings.iter().any(|finding| finding.severity != Severity::Note);
    Ok(if examined.iter().any(is_fault) { Exit::Error } else { Exit::Success })
}
