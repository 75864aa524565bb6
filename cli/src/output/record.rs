//! What every message offers that can be printed.

use prost::Message;

use super::table;

/// A message that can be printed in each format.
pub(crate) trait Record: Message {
    /// The message's name in package `ops.v1`.
    const NAME: &'static str;
    /// The columns of its list.
    const COLUMNS: &'static [&'static str];
    fn id(&self) -> &str;
    /// One cell for each column.
    fn row(&self) -> Vec<table::Cell>;
    /// All details for a person, as pairs of a name and a text. Empty texts are not printed.
    fn details(&self) -> Vec<(&'static str, String)>;
}
