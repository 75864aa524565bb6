//! What holds for every call: [`call`] checks it and holds it to its deadline, [`admission`] bounds what the server takes in,
//! [`meter`] and [`trace`] observe it. [`methods`] is the table of all methods, [`caller`] says who calls, [`convert`] checks fields,
//! [`respond`] is the frame of a handler, and [`status`] maps errors.

pub mod admission;
pub mod call;
pub mod caller;
pub mod convert;
pub mod meter;
pub mod methods;
pub mod respond;
pub mod status;
pub mod trace;
