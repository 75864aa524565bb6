//! `ops migrate`

use anyhow::Result;

use crate::{args::migrate::MigrateArgs, exit::Exit, output};

pub(crate) async fn execute(args: MigrateArgs) -> Result<Exit> {
    server::migrate(&args.config()).await?;
    output::tell("the database has this version's schema");
    Ok(Exit::Success)
}
