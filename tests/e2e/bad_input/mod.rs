//! Bad input: refused with what is wrong, nothing is lost, and the server is as well as before.

mod patience;
mod strangers;
pub mod table;

use crate::support::House;

#[tokio::test(flavor = "multi_thread")]
async fn what_no_client_should_send_is_refused_and_harms_nobody() {
    let house = House::new().await;
    let rows = table::all(&house.address()).await;
    println!("{rows} rows");
}
