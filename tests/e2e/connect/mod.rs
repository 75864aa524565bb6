//! A worker's stream, frame by frame. The test plays the worker.

mod events;
mod offers;
mod opening;
mod reports;
mod resuming;
