//! `remove_cluster FOLDER`: stops the cluster that `ops dev` keeps in this data folder, and removes it with all its data.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use devpg::DevpgError;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1) else {
        eprintln!("usage: remove_cluster FOLDER");
        return ExitCode::from(2);
    };
    match remove(Path::new(&folder)).await {
        Ok(home) => {
            println!("{} is removed", home.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn remove(folder: &Path) -> Result<PathBuf, DevpgError> {
    devpg::remove(folder).await?;
    devpg::home_of(folder)
}
