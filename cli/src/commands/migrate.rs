//! `ops migrate`

use anyhow::Result;

use crate::{args::migrate::MigrateArgs, exit::Exit};

pub(crate) async fn execute(_args: MigrateArgs) -> Result<Exit> {
    anyhow::bail!("not built yet")
}
