//! The gRPC edge: one thin file a service, conversions in [`convert`], errors in [`status`], what
//! holds for every call in [`call`], the whole in [`routes`].

pub mod admission;
pub mod artifact;
pub mod call;
pub mod connect;
pub mod convert;
pub mod health;
pub mod meter;
pub mod routes;
pub mod run;
pub mod session;
pub mod status;
pub mod tenant;
pub mod trace;
pub mod worker;

pub use health::HealthSwitch;
