//! `ops serve`

use anyhow::Result;

use super::listener;
use crate::{args::serve::ServeArgs, errors::AtDatabase, exit::Exit, output, signals::Signals};

pub(crate) async fn execute(args: ServeArgs) -> Result<Exit> {
    let address = args.listen.address()?;
    let config = args.config()?;
    let signals = Signals::listen()?;
    let listener = listener::bind(address, "--listen").await?;
    output::tell(format_args!("listening on http://{}", listener.local_addr()?));
    let place = server::place(&config.database_url);
    let ended = server::run(listener, config, signals.first().clone()).await;
    ended.map_err(|error| AtDatabase { place, error })?;
    Ok(Exit::Success)
}
