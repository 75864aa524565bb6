//! Workers: [`record`] writes them and their streams, [`read`] lists them.

pub mod read;
pub mod record;
