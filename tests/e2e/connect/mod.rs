//! A worker's stream, frame by frame. The test plays the worker.

mod events;
mod offers;
mod opening;
mod replaced;
mod reports;
mod resuming;
