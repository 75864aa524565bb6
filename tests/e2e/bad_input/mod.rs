//! Bad input is refused with a reason, nothing is lost, and the server stays healthy.

pub mod table;
mod tenants;
mod timeouts;

use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_and_harms_nobody() {
    let fixture = Fixture::new().await;
    let rows = table::all(&fixture.address()).await;
    println!("{rows} rows");
}
