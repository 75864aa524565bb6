//! Bad input: refused with what is wrong, nothing is lost, and the server is as well as before.

mod patience;
mod strangers;
pub mod table;

use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn what_no_client_should_send_is_refused_and_harms_nobody() {
    let fixture = Fixture::new().await;
    let rows = table::all(&fixture.address()).await;
    println!("{rows} rows");
}
