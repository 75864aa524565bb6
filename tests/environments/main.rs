//! End-to-end tests with what stands around a server where people run it: poolers, proxies, and machines whose clock jumps. Each is
//! the real program. `make environments` installs them, and runs these tests.

#[path = "../e2e/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the fixtures of tests/e2e, of which these tests need a part")]
mod support;

mod clock;
mod haproxy;
mod nginx;
mod pgbouncer;
mod prepared;
mod privileges;
mod program;
mod proxies;
mod replication;
