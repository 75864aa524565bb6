//! What every message offers that can be printed.

use prost::Message;

use super::table;

/// A message that can be printed in each format.
pub(crate) trait Record: Message {
    /// The message's name in package `ops.v1`.
    const NAME: &'static str;
    /// The columns of its list. The first is the id.
    const COLUMNS: &'static [&'static str];
    /// The columns that a narrow terminal does not get, in the order in which they are left out.
    const SPARE: &'static [&'static str];
    fn id(&self) -> &str;
    /// One cell for each column.
    fn row(&self) -> Vec<table::Cell>;
    /// All details for a person, as pairs of a name and a text. Empty texts are not printed.
    fn details(&self) -> Vec<(&'static str, String)>;
}
