//! How many bytes of reports and logs the worker sends ahead of their answers. Pure.
//!
//! A proxy before the server may cut a stream after some bytes: nginx takes 1 MiB of a request by default. A worker that sent the same as
//! before after each cut would send it for ever. So after a cut it waits for the answer to each frame before it sends the next one, and
//! sends smaller frames if a cut follows such a frame, too. Then each stream brings some of it to the server.

use std::time::Duration;

use tokio::time::Instant;

/// The most bytes of one frame, unless its only item is larger. A frame delays those behind it, also heartbeats.
pub(crate) const FRAME_BYTES: usize = 512 * 1024;
/// Frames are not divided further.
const SMALLEST_FRAME_BYTES: usize = 16 * 1024;
/// A frame waits no longer than this for the answer to the one before, because a run may be locked in the database.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// A stream that has carried so many bytes, or so many frames with an answer to each, is not cut by their number.
const PASSED_BYTES: usize = 8 * 1024 * 1024;
const PASSED_FRAMES: u32 = 200;

/// The pace of one worker.
#[derive(Debug)]
pub(crate) struct Pace {
    frame_bytes: usize,
    /// Whether each frame waits for the answer to the one before.
    is_careful: bool,
    /// What was sent on this stream.
    bytes: usize,
    frames: u32,
    sent_at: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { frame_bytes: FRAME_BYTES, is_careful: false, bytes: 0, frames: 0, sent_at: None }
    }
}

impl Pace {
    /// The bound of the next frame, unless its only item is larger.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Whether one frame at a time is on its way.
    pub(crate) fn is_careful(&self) -> bool {
        self.is_careful
    }

    /// Until when the next frame waits, if the last one is not answered.
    pub(crate) fn waits_until(&self, has_unanswered: bool) -> Option<Instant> {
        self.sent_at.filter(|_| self.is_careful && has_unanswered).map(|sent_at| sent_at + ANSWER_TIMEOUT)
    }

    /// Whether a frame may be sent now.
    pub(crate) fn may_send(&self, has_unanswered: bool, now: Instant) -> bool {
        self.waits_until(has_unanswered).is_none_or(|until| now >= until)
    }

    /// A frame of so many bytes is sent.
    pub(crate) fn sent(&mut self, bytes: usize, now: Instant) {
        self.sent_at = Some(now);
        self.bytes = self.bytes.saturating_add(bytes);
        self.frames = self.frames.saturating_add(1);
    }

    /// All frames of the stream are answered.
    pub(crate) fn all_answered(&mut self) {
        self.frame_bytes = (self.frame_bytes * 2).min(FRAME_BYTES);
        if self.bytes >= PASSED_BYTES || self.frames >= PASSED_FRAMES {
            self.is_careful = false;
        }
    }

    /// The stream was cut before all frames were answered.
    pub(crate) fn cut(&mut self) {
        if self.is_careful {
            self.frame_bytes = (self.frame_bytes / 2).max(SMALLEST_FRAME_BYTES);
        }
        self.is_careful = true;
    }

    /// A stream began.
    pub(crate) fn resume(&mut self) {
        (self.bytes, self.frames, self.sent_at) = (0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_cut_one_frame_at_a_time_is_on_its_way() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.sent(1, now);
        assert!(pace.may_send(true, now) && pace.may_send(false, now));
        pace.cut();
        assert!(!pace.may_send(true, now) && pace.may_send(false, now));
        assert!(pace.may_send(true, now + ANSWER_TIMEOUT), "a locked run holds up no other");
        pace.resume();
        assert!(pace.may_send(false, now));
        assert_eq!(pace.frame_bytes(), FRAME_BYTES, "the frames before were not alone");
    }

    #[test]
    fn frames_are_halved_after_each_further_cut_and_doubled_after_each_answer() {
        let mut pace = Pace::default();
        pace.cut();
        for divided in [2, 4, 8, 16, 32, 32] {
            pace.cut();
            assert_eq!(pace.frame_bytes(), FRAME_BYTES / divided);
        }
        for divided in [16, 8, 4, 2, 1, 1] {
            pace.sent(1, Instant::now());
            pace.all_answered();
            assert_eq!(pace.frame_bytes(), FRAME_BYTES / divided);
        }
        assert!(pace.is_careful());
    }

    #[test]
    fn a_stream_that_carries_much_is_not_cut_by_the_number_of_bytes_or_frames() {
        let mut pace = Pace::default();
        pace.cut();
        for _ in 0..PASSED_BYTES / FRAME_BYTES - 1 {
            pace.sent(FRAME_BYTES, Instant::now());
        }
        pace.all_answered();
        assert!(pace.is_careful());
        pace.resume();
        pace.sent(FRAME_BYTES, Instant::now());
        pace.all_answered();
        assert!(pace.is_careful(), "each stream begins anew");
        pace.sent(PASSED_BYTES, Instant::now());
        pace.all_answered();
        assert!(!pace.is_careful());
        pace.cut();
        pace.resume();
        for _ in 0..PASSED_FRAMES {
            assert!(pace.is_careful());
            pace.sent(1, Instant::now());
            pace.all_answered();
        }
        assert!(!pace.is_careful());
    }
}
