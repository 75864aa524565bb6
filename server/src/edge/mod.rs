//! What holds for every call, whatever its service.
//!
//! Layers through which a request passes: [`caller`] finds the caller and the method, [`meter`] and [`trace`] observe the call, [`call`]
//! checks the gRPC protocol and the deadline, [`answer`] explains errors behind an answer, [`admission`] bounds how much is admitted at
//! once. [`methods`] is the table of all methods. A handler uses [`respond`] as its frame, [`convert`] to check fields, and [`status`] to
//! map errors.

pub mod admission;
pub mod answer;
pub mod call;
pub mod caller;
pub mod convert;
pub mod meter;
pub mod methods;
pub mod respond;
pub mod status;
pub mod trace;
