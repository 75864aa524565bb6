//! Frames of a worker's stream: any bytes are a frame or are refused with a reason, without a panic.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| -> libfuzzer_sys::Corpus {
    use libfuzzer_sys::Corpus;
    use prost::Message;
    use proto::v1::ConnectRequest;
    use server::fuzzing::{Limits, status_of, worker::frames};

    let Ok(frame) = ConnectRequest::decode(bytes) else { return Corpus::Reject };
    let limits = Limits::default();
    let refusals = [frames::hello(frame.clone(), &limits).err(), frames::worker_frame(frame, &limits).err()];
    for error in refusals.into_iter().flatten() {
        let status = status_of(error);
        assert!(!status.message().is_empty() && !status.details().is_empty(), "{status:?}");
    }
    Corpus::Keep
});

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("this is built by `make fuzz`");
}
