//! SQL, with a folder for each aggregate. A statement is in the folder of the aggregate that it writes. Names begin with the noun.
//! A statement of over 25 lines is a `.sql` file beside the function that runs it.
//!
//! A function that joins a larger transaction takes the connection and ends in `_in_tx`. A function whose write other tasks wait for
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

pub mod clock;
pub mod database;
pub mod poll;
