//! `remove_cluster FOLDER`: stops the cluster that `ops dev` keeps in this data folder, and removes it with all its data.

use std::env;
use std::path::PathBuf;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(env::args_os().nth(1).ok_or("usage: remove_cluster FOLDER")?);
    devpg::remove(&folder).await?;
    println!("{} is removed", devpg::home_of(&folder)?.display());
    Ok(())
}
