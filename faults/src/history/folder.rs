//! The folder of a run, as the checker reads it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;

use super::{Event, FinalState, Plan, Torn, read};

/// The files of a run.
#[derive(Debug, Clone)]
pub struct Folder {
    pub path: PathBuf,
    pub plan: Plan,
    /// The events of all actors, in the order of time.
    pub events: Vec<Event>,
    pub torn: Vec<Torn>,
    pub end: FinalState,
}

impl Folder {
    /// Reads a run's folder.
    ///
    /// # Errors
    ///
    /// A file is missing, or no run wrote it.
    pub fn open(path: &Path) -> Result<Self> {
        let plan = json(&path.join("seed.json"))?;
        let end = json(&path.join("final.json"))?;
        let histories = path.join("history");
        let entries = fs::read_dir(&histories).with_context(|| format!("can not read {}", histories.display()))?;
        let (mut events, mut torn) = (Vec::new(), Vec::new());
        for entry in entries {
            let file = entry?.path();
            if file.extension().is_some_and(|it| it == "jsonl") {
                let (lines, tail) = read(&file)?;
                events.extend(lines);
                torn.extend(tail);
            }
        }
        ensure!(!events.is_empty(), "nothing is written down in {}", histories.display());
        // A stable sort: events of one actor in one microsecond keep their order.
        events.sort_by_key(|event| event.at_us);
        Ok(Self { path: path.to_owned(), plan, events, torn, end })
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).with_context(|| format!("can not read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not what a run writes", path.display()))
}
