//! On what was measured.

use std::fs;

use anyhow::Result;
use serde::Serialize;
use sqlx::Row;

use crate::house::{Bench, DATABASE_SETTINGS};

#[derive(Debug, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub postgres: String,
    pub postgres_settings: Vec<String>,
    pub ops: String,
    /// Load averages before anything was measured: other work makes figures worse.
    pub load: String,
}

impl Machine {
    pub async fn of(bench: &Bench) -> Result<Self> {
        let database = bench.database().await?;
        let version = sqlx::query("SHOW server_version").fetch_one(&mut database.connect().await?).await?;
        let postgres = version.try_get(0)?;
        database.remove().await?;
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            line.unwrap_or_default().trim_start_matches([' ', '\t', ':']).to_owned()
        };
        let kib: u64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
        let read = |file| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
        Ok(Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: (kib + (1 << 19)) >> 20,
            kernel: read("/proc/sys/kernel/osrelease"),
            postgres,
            postgres_settings: DATABASE_SETTINGS.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            ops: env!("CARGO_PKG_VERSION").to_owned(),
            load: read("/proc/loadavg"),
        })
    }
}
