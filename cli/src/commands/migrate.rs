//! `ops migrate`

use anyhow::Result;

use crate::{args::migrate::MigrateArgs, errors::AtDatabase, exit::Exit, output};

pub(crate) async fn execute(args: MigrateArgs) -> Result<Exit> {
    let config = args.config()?;
    let place = server::place(&config.database_url);
    server::migrate(&config).await.map_err(|error| AtDatabase { place, error })?;
    output::tell("the database has this version's schema");
    Ok(Exit::Success)
}
