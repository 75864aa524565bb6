//! How the requests of many callers become one statement: [`batcher`] gathers the requests that wait, [`budget`] bounds them, [`halving`]
//! isolates those that the database refuses, and [`foreign_locks`] leaves out those whose rows other transactions keep locked.

pub mod batcher;
pub mod budget;
pub mod foreign_locks;
pub mod halving;
