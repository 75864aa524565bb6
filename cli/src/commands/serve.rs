//! `ops serve`

use anyhow::Result;

use crate::{args::serve::ServeArgs, exit::Exit};

pub(crate) async fn execute(_args: ServeArgs) -> Result<Exit> {
    anyhow::bail!("not built yet")
}
