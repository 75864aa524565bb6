//! Requests of unary calls: any bytes are a request, or are refused with what is wrong; nothing panics. The first byte chooses
//! the call.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
use {
    libfuzzer_sys::Corpus,
    prost::Message,
    proto::v1::*,
    server::fuzzing::{Limits, convert},
    tonic::Status,
};

/// Converts, and looks at how a refusal is told.
#[cfg(fuzzing)]
fn convert<M: Message + Default, T, E: Into<Status>>(
    bytes: &[u8],
    convert: impl FnOnce(M, &Limits) -> Result<T, E>,
) -> Corpus {
    let Ok(message) = M::decode(bytes) else { return Corpus::Reject };
    if let Err(error) = convert(message, &Limits::default()) {
        let status: Status = error.into();
        assert!(!status.message().is_empty() && !status.details().is_empty(), "{status:?}");
        // It goes into a header, of which many clients take 8 KiB.
        assert!(status.details().len() < 6_000, "{} bytes", status.details().len());
    }
    Corpus::Keep
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some((choice, bytes)) = bytes.split_first() else { return Corpus::Reject };
    match choice {
        b'a' => convert(bytes, convert::session::create_session),
        b'b' => convert(bytes, convert::session::update_session),
        b'c' => convert(bytes, convert::session::list_sessions),
        b'd' => convert(bytes, convert::session::cancel_session),
        b'e' => convert(bytes, |it: EnqueueRunRequest, limits| convert::run::enqueue_run(it, None, limits)),
        b'f' => convert(bytes, |it: EnqueueRunsRequest, limits| convert::run::enqueue_runs(it, None, limits)),
        b'g' => convert(bytes, convert::run::list_runs),
        b'h' => convert(bytes, convert::run::cancel_run),
        b'i' => convert(bytes, convert::run::wait_run),
        b'j' => convert(bytes, convert::run::watch_runs),
        b'k' => convert(bytes, convert::event::list_run_events),
        b'l' => convert(bytes, convert::event::tail_run_events),
        b'm' => convert(bytes, convert::worker::claim),
        b'n' => convert(bytes, convert::worker::heartbeat),
        b'o' => convert(bytes, convert::worker::report_run),
        b'p' => convert(bytes, convert::worker::append_run_events),
        b'q' => convert(bytes, convert::worker::list_workers),
        b'r' => convert(bytes, convert::artifact::create_artifact),
        b's' => convert(bytes, convert::artifact::list_artifacts),
        _ => Corpus::Reject,
    }
});

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("this is built by `make fuzz`");
}
