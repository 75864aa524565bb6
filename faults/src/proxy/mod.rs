//! A TCP proxy that injects faults of networks.
//!
//! In reading order: [`Orders`] apply to all links of a proxy, a [`Trap`] is a fault of one link at an exact point
//! of its protocol, and [`Proxy`] carries both out.

mod orders;
mod trap;

mod filter;
mod http2;
mod postgres;

mod direction;
mod link;
mod listener;

#[cfg(test)]
mod tests;

pub use listener::{Protocol, Proxy};
pub use orders::{Cut, Flow, Orders, Pass};
pub use trap::Trap;
