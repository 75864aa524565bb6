//! What can be seen of the server: [`observe`] collects what is looked at when somebody asks for the metrics, [`process`] says what
//! the process takes of its machine, and [`spans`] are those of calls.

pub mod observe;
pub mod process;
pub mod spans;
