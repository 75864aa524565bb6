//! The gRPC edge: one thin file a service, conversions in [`convert`], errors in [`status`].

pub mod convert;
