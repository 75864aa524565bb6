//! A worker's stream, frame by frame: the worker is played by hand.

mod events;
mod offers;
mod opening;
mod reports;
mod resuming;
