//! The history of one actor. Each event is one line, written by one write, so that SIGKILL can tear only the last line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};

use super::{Event, What, now_us};

/// Records the events of one actor. Its tasks may share this.
#[derive(Debug)]
pub struct Recorder {
    actor: String,
    file: File,
}

impl Recorder {
    /// Starts the history of an actor in the folder of a run.
    ///
    /// # Errors
    ///
    /// The actor has a history already.
    pub fn create(folder: &Path, actor: &str) -> io::Result<Self> {
        let histories = folder.join("history");
        fs::create_dir_all(&histories)?;
        let file = OpenOptions::new().append(true).create_new(true).open(histories.join(format!("{actor}.jsonl")))?;
        Ok(Self { actor: actor.to_owned(), file })
    }

    /// Records an event now. When this returns, the kernel has the line, which outlives this process.
    ///
    /// # Errors
    ///
    /// The file can not be written. The caller has to end, because later events could not be judged.
    pub fn record(&self, what: What) -> io::Result<()> {
        let event = Event { at_us: now_us(), actor: self.actor.clone(), what };
        let mut line = serde_json::to_vec(&event)?;
        line.push(b'\n');
        // One write(2) on a file opened for appending: lines of several tasks do not mix.
        match (&self.file).write(&line)? {
            written if written == line.len() => Ok(()),
            written => Err(io::Error::new(io::ErrorKind::WriteZero, format!("{written} of {} bytes", line.len()))),
        }
    }
}

/// A last line that is incomplete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    pub actor: String,
    pub text: String,
}

/// Reads the history of an actor: its events, and its last line if it is torn.
///
/// # Errors
///
/// A line before the last one is not an event, so no [`Recorder`] wrote the file.
pub fn read(path: &Path) -> Result<(Vec<Event>, Option<Torn>)> {
    let bytes = fs::read(path).with_context(|| format!("can not read {}", path.display()))?;
    let mut events = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let number = events.len() + 1;
        let event = serde_json::from_slice(&rest[..end]);
        events.push(event.with_context(|| format!("{}:{number}: no event", path.display()))?);
        rest = &rest[end + 1..];
    }
    let actor = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let torn = (!rest.is_empty()).then(|| Torn { actor, text: String::from_utf8_lossy(rest).into_owned() });
    Ok((events, torn))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::history::{Asked, Counters, Status, Verdict};

    fn path(folder: &Path) -> std::path::PathBuf {
        folder.join("history/a.jsonl")
    }

    #[test]
    fn events_are_read_in_the_order_in_which_they_were_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let run = Uuid::now_v7();
        let whats = [
            What::EnqueueAsked {
                call: "c1".into(),
                session: run,
                request_id: None,
                runs: vec![Asked { key: "k1".into(), max_attempts: 3 }],
            },
            What::EnqueueAnswered { call: "c1".into(), ids: vec![run] },
            What::RunSeen { run, status: Status::Running, revision: i64::MAX, fence: 2, attempt: 1 },
            What::CountersSeen { session: run, counters: Counters { total: 7, ..Counters::default() } },
            What::ReportAnswered { run, fence: 2, token: "t".into(), verdict: Verdict::Refused("UNAVAILABLE".into()) },
            What::Quiet,
        ];
        let recorder = Recorder::create(folder.path(), "a").unwrap();
        for what in &whats {
            recorder.record(what.clone()).unwrap();
        }
        let (events, torn) = read(&path(folder.path())).unwrap();
        assert_eq!(events.iter().map(|event| event.what.clone()).collect::<Vec<_>>(), whats);
        assert!(events.iter().all(|event| event.actor == "a"));
        assert!(events.is_sorted_by_key(|event| event.at_us));
        assert_eq!(torn, None);
    }

    #[test]
    fn a_file_cut_at_any_byte_gives_its_whole_lines_and_its_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(folder.path(), "a").unwrap();
        recorder.record(What::Quiet).unwrap();
        recorder.record(What::Settled { in_time: true }).unwrap();
        let whole = fs::read(path(folder.path())).unwrap();
        for cut in 0..=whole.len() {
            fs::write(path(folder.path()), &whole[..cut]).unwrap();
            let (events, torn) = read(&path(folder.path())).unwrap();
            let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(events.len(), lines, "cut at {cut}");
            assert_eq!(torn.is_some(), cut > 0 && whole[cut - 1] != b'\n', "cut at {cut}");
        }
    }

    #[test]
    fn a_line_in_the_middle_that_is_no_event_is_refused_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(folder.path(), "a").unwrap();
        recorder.record(What::Quiet).unwrap();
        let mut text = fs::read_to_string(path(folder.path())).unwrap();
        text.push_str("{\"at_us\":1}\n");
        fs::write(path(folder.path()), text).unwrap();
        let error = format!("{:#}", read(&path(folder.path())).unwrap_err());
        assert!(error.contains("a.jsonl:2: no event"), "{error}");
    }

    #[test]
    fn an_actor_has_one_history() {
        let folder = tempfile::tempdir().unwrap();
        Recorder::create(folder.path(), "a").unwrap();
        assert_eq!(Recorder::create(folder.path(), "a").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
