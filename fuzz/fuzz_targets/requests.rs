//! Requests of unary calls: any bytes are a request or are refused with a reason, without a panic. The first byte
//! chooses the call.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
use {
    libfuzzer_sys::Corpus,
    prost::Message,
    proto::v1::*,
    server::fuzzing::{Limits, artifact, run, session, status_of, worker},
};

/// Converts, and checks the status of a refusal.
#[cfg(fuzzing)]
fn convert<M: Message + Default, T, E: Into<engine::EngineError>>(
    bytes: &[u8],
    convert: impl FnOnce(M, &Limits) -> Result<T, E>,
) -> Corpus {
    let Ok(message) = M::decode(bytes) else { return Corpus::Reject };
    if let Err(error) = convert(message, &Limits::default()) {
        let status = status_of(error);
        assert!(!status.message().is_empty() && !status.details().is_empty(), "{status:?}");
        // The details go into a header, and many clients accept only 8 KiB of headers.
        assert!(status.details().len() < 6_000, "{} bytes", status.details().len());
    }
    Corpus::Keep
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some((choice, bytes)) = bytes.split_first() else { return Corpus::Reject };
    match choice {
        b'a' => convert(bytes, session::convert::create_session),
        b'b' => convert(bytes, session::convert::update_session),
        b'c' => convert(bytes, session::convert::list_sessions),
        b'd' => convert(bytes, session::convert::cancel_session),
        b'e' => convert(bytes, |it: EnqueueRunRequest, limits| run::convert::enqueue_run(it, None, limits)),
        b'f' => convert(bytes, |it: EnqueueRunsRequest, limits| run::convert::enqueue_runs(it, None, limits)),
        b'g' => convert(bytes, run::convert::list_runs),
        b'h' => convert(bytes, run::convert::cancel_run),
        b'i' => convert(bytes, run::convert::wait_run),
        b'j' => convert(bytes, run::convert::watch_runs),
        b'k' => convert(bytes, run::convert::list_run_events),
        b'l' => convert(bytes, run::convert::tail_run_events),
        b'm' => convert(bytes, worker::convert::claim),
        b'n' => convert(bytes, worker::convert::heartbeat),
        b'o' => convert(bytes, worker::convert::report_run),
        b'p' => convert(bytes, worker::convert::append_run_events),
        b'q' => convert(bytes, worker::convert::list_workers),
        b'r' => convert(bytes, artifact::convert::create_artifact),
        b's' => convert(bytes, artifact::convert::list_artifacts),
        _ => Corpus::Reject,
    }
});

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("this is built by `make fuzz`");
}
