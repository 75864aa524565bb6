//! Conversions that several services share. Inwards, [`fields`] checks single fields and gathers all violations; outwards,
//! [`to_proto`] is the trait of every conversion. [`json`] and [`time`] convert values, [`event`] and [`cancel`] convert messages.

pub mod cancel;
pub mod event;
pub mod fields;
pub mod json;
pub mod time;
pub mod to_proto;

pub use fields::{Fields, Path};
pub use to_proto::{ToProto, to_protos};
