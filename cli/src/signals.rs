//! SIGTERM, SIGINT and SIGHUP. The first one starts an orderly stop. A second SIGTERM or SIGINT exits at once; a second SIGHUP does not,
//! because a terminal that closes sends several. If SIGHUP is ignored at the start, as `nohup` does, it stays so.

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
        let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        let first = CancellationToken::new();
        let mut listener = JoinSet::new();
        listener.spawn(listen(terminate, interrupt, hangup, first.clone()));
        Ok(Self { first, _listener: listener })
    }

    /// The token that the first signal cancels.
    pub(crate) fn first(&self) -> &CancellationToken {
        &self.first
    }
}

async fn listen(mut terminate: Signal, mut interrupt: Signal, mut hangup: Option<Signal>, first: CancellationToken) {
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = hung_up(hangup.as_mut()) => "SIGHUP",
    };
    output::tell(format_args!("{name}: stopping; a second signal ends this at once"));
    first.cancel();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    process::exit(Exit::Interrupted as i32);
}

async fn hung_up(hangup: Option<&mut Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether this process was started with SIGHUP ignored. Linux says so; elsewhere it counts as not ignored.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    // Bit 0 is signal 1, which is SIGHUP.
    ignored & 1 != 0
}
