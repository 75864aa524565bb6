//! `ops migrate`

use anyhow::Result;

use crate::{args::migrate::MigrateArgs, errors::AtDatabase, exit::Exit, output};

pub(crate) async fn execute(args: MigrateArgs) -> Result<Exit> {
    server::migrate(&args.config()?).await.map_err(AtDatabase)?;
    output::tell("the database has this version's schema");
    Ok(Exit::Success)
}
