//! What the conversions of several services share: [`fields`] checks single fields and gathers all violations; [`to_proto`] is the
//! way out; [`json`] and [`time`] convert values, [`event`] and [`cancel`] messages.

pub mod cancel;
pub mod event;
pub mod fields;
pub mod json;
pub mod time;
pub mod to_proto;

pub use fields::{Fields, Path};
pub use to_proto::{ToProto, to_protos};
