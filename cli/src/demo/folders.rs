//! The folders that the runs of the demonstration read and write.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::CommandFactory;
use uuid::Uuid;

use crate::args::Cli;

/// A folder to read, and one to write into.
#[derive(Debug)]
pub(super) struct Folders {
    pub(super) src: PathBuf,
    pub(super) out: PathBuf,
}

impl Folders {
    /// Reads the current folder if it is a checkout, else this program's help texts.
    pub(super) fn make() -> Result<Self> {
        let out = env::temp_dir().join(format!("ops-demo-{}", Uuid::now_v7()));
        fs::create_dir(&out).with_context(|| format!("can not create the folder {}", out.display()))?;
        let here = env::current_dir().context("can not tell the current folder")?;
        if here.join("proto/ops/v1").is_dir() {
            return Ok(Self { src: here, out });
        }
        let src = out.join("texts");
        fs::create_dir(&src).with_context(|| format!("can not create the folder {}", src.display()))?;
        let mut program = Cli::command();
        program.build();
        for command in program.get_subcommands_mut() {
            let path = src.join(format!("{}.txt", command.get_name()));
            fs::write(&path, command.render_long_help().to_string())
                .with_context(|| format!("can not write {}", path.display()))?;
        }
        Ok(Self { src, out })
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        // The system cleans up what remains: it lies in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.out);
    }
}
