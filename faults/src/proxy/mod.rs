//! A TCP proxy that does on demand what networks do.
//!
//! In reading order: [`Orders`] say what all links of a proxy do from now on, a [`Trap`] what happens to one of them at an
//! exact point of the protocol that it speaks, and [`Proxy`] carries it out.

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
