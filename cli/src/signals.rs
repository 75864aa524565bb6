//! SIGTERM and SIGINT. The first one starts an orderly stop, the second one exits at once.

use std::{io, process};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{exit::Exit, output};

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Signals {
    first: CancellationToken,
    _listener: JoinSet<()>,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let first = CancellationToken::new();
        let mut listener = JoinSet::new();
        listener.spawn(listen(terminate, interrupt, first.clone()));
        Ok(Self { first, _listener: listener })
    }

    /// The token that the first signal cancels.
    pub(crate) fn first(&self) -> &CancellationToken {
        &self.first
    }
}

async fn listen(mut terminate: Signal, mut interrupt: Signal, first: CancellationToken) {
    either(&mut terminate, &mut interrupt).await;
    output::tell("stopping; a second signal ends this at once");
    first.cancel();
    either(&mut terminate, &mut interrupt).await;
    process::exit(Exit::Interrupted as i32);
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
