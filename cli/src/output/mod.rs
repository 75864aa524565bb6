//! Output. Standard output gets data and nothing else; messages for people go to standard error.
//!
//! [`json`] prints messages for programs, [`table`] for people, with [`colour`] on a terminal. [`text`] makes foreign
//! text safe for a terminal, [`times`] prints times. Each aggregate has a file of its own with what a person sees of
//! it.

use std::{
    fmt::Display,
    io::{self, Write},
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use prost::Message;
use thiserror::Error;

pub(crate) mod colour;
pub(crate) mod json;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod times;
mod wire;

mod event;
mod record;
mod run;
mod session;
mod worker;

pub(crate) use event::bytes as event_bytes;
pub(crate) use record::Record;
pub(crate) use run::{lane, note, status, transition};

/// The output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    // No doc comments on the values: clap would spread every help text that has this option over three pages.
    Table,
    Json,
    Jsonl,
    Id,
}

/// Prints one record with its details.
pub(crate) fn record<R: Record>(format: Format, record: &R) -> Result<()> {
    match format {
        Format::Table => print(table::details(&record.details())),
        Format::Json => print_json(R::NAME, record, true),
        Format::Jsonl => print_json(R::NAME, record, false),
        Format::Id => print(format!("{}\n", record.id())),
    }
}

/// Prints a page of a list. `page` is the whole answer, whose message is `page_name`; `records` are the records in it.
pub(crate) fn list<P: Message, R: Record>(format: Format, page_name: &str, page: &P, records: &[R]) -> Result<()> {
    match format {
        Format::Table => print(table::table(R::COLUMNS, R::SPARE, records.iter().map(Record::row))),
        Format::Json => print_json(page_name, page, true),
        Format::Jsonl => records.iter().try_for_each(|record| print_json(R::NAME, record, false)),
        Format::Id => records.iter().try_for_each(|record| print(format!("{}\n", record.id()))),
    }
}

/// Prints a message as JSON: over several lines if `pretty`, else on one.
pub(crate) fn print_json<M: Message>(name: &str, message: &M, pretty: bool) -> Result<()> {
    let json = json::of(name, message).with_context(|| format!("can not print a {name} as JSON"))?;
    let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }?;
    print(text + "\n")
}

/// Standard output did not take everything.
#[derive(Debug, Error)]
#[error("can not write to standard output")]
pub(crate) struct Unwritten(#[from] pub(crate) io::Error);

impl Unwritten {
    /// Whether the reader closed the pipe: it has read enough.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Writes to standard output and flushes. A closed pipe is an error too; the program then ends quietly.
pub(crate) fn print(bytes: impl AsRef<[u8]>) -> Result<()> {
    Ok(write(bytes.as_ref())?)
}

fn write(bytes: &[u8]) -> Result<(), Unwritten> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// Prints a line on standard error, for a person. A failure is ignored.
pub(crate) fn tell(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Says on standard error that there are more records.
pub(crate) fn mention_more(next_page_token: &str) {
    if !next_page_token.is_empty() {
        tell("there are more; ask for them with --limit");
    }
}
