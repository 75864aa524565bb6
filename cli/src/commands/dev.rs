//! `ops dev`

use anyhow::Result;

use crate::{args::dev::DevArgs, exit::Exit};

pub(crate) async fn execute(_args: DevArgs) -> Result<Exit> {
    anyhow::bail!("not built yet")
}
