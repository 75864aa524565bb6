//! The gRPC edge: one thin file a service, conversions in [`convert`], errors in [`status`], the whole in [`routes`].

pub mod artifact;
pub mod convert;
pub mod health;
pub mod status;
pub mod tenant;

pub use health::HealthSwitch;
