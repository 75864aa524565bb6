//! SQL, a folder an aggregate; each statement is in the folder of the aggregate that it writes. Names begin with the noun.
//! Statements of over 25 lines are `.sql` files beside the function that runs them.
//!
//! A function that joins a larger transaction takes the connection and ends in `_in_tx`. A function whose write others wait for
//! returns its [`effects`].

pub mod session;

pub mod run;

pub mod event;
pub mod worker;

pub mod artifact;

pub mod feed;
pub mod request;

pub mod effects;
pub mod wakeup;

pub mod database;
pub mod poll;
