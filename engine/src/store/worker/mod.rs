//! Workers: [`record`] writes who they are and on which stream, [`read`] lists them.

pub mod read;
pub mod record;
