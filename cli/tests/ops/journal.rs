//! The standard error of a process. A thread reads it all the time, so that a full pipe never blocks the process.

use std::{
    fmt,
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The time limit of every wait: much longer than any wait here takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The lines so far. Clones share them.
#[derive(Clone, Default)]
pub struct Journal {
    shared: Arc<(Mutex<Lines>, Condvar)>,
}

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    is_complete: bool,
}

impl Journal {
    /// Starts a thread that reads to the end.
    pub fn of(source: impl Read + Send + 'static) -> Self {
        let journal = Self::default();
        let written = journal.clone();
        thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                written.lock().lines.push(String::from_utf8_lossy(&line).into_owned());
                written.shared.1.notify_all();
            }
            written.lock().is_complete = true;
            written.shared.1.notify_all();
        });
        journal
    }

    /// Waits for the first line with this text.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_nth(text, 1)
    }

    /// Waits for the nth line with this text.
    pub fn wait_for_nth(&self, text: &str, number: usize) -> String {
        let end = Instant::now() + TIMEOUT;
        let mut lines = self.lock();
        loop {
            if let Some(line) = lines.lines.iter().filter(|line| line.contains(text)).nth(number - 1) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!lines.is_complete && !left.is_zero(), "no line {number} with `{text}` in {:#?}", lines.lines);
            let waited = self.shared.1.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The events with this message so far. The program must log as JSON.
    pub fn events(&self, message: &str) -> Vec<Value> {
        let events = |line: &String| serde_json::from_str::<Value>(line).ok().filter(|it| it["message"] == message);
        self.lock().lines.iter().filter_map(events).collect()
    }

    /// Waits for the end, and returns everything.
    pub fn rest(&self) -> String {
        let end = Instant::now() + TIMEOUT;
        let mut lines = self.lock();
        while !lines.is_complete {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "standard error stays open");
            lines = self.shared.1.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        lines.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.lock().lines).finish()
    }
}
