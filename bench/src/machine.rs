//! The machine on which the figures were measured.

use std::fs;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use sqlx::{PgConnection, Row};

use crate::deployment::{Bench, DATABASE_SETTINGS};

#[derive(Debug, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub postgres: String,
    pub postgres_settings: Vec<String>,
    /// The median time in which the database commits one row, which is mostly that of its disk.
    pub commit_us: f64,
    pub ops: String,
    /// Load averages before the first measurement: other work makes figures worse.
    pub load: String,
}

impl Machine {
    pub async fn of(bench: &Bench) -> Result<Self> {
        let database = bench.database().await?;
        let version = sqlx::query("SHOW server_version").fetch_one(&mut database.connect().await?).await?;
        let postgres = version.try_get(0)?;
        let commit_us = commit_us(&mut database.connect().await?).await?;
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
            commit_us,
            ops: env!("CARGO_PKG_VERSION").to_owned(),
            load: read("/proc/loadavg"),
        })
    }
}

async fn commit_us(c: &mut PgConnection) -> Result<f64> {
    sqlx::raw_sql("CREATE TABLE committed (row int)").execute(&mut *c).await?;
    let mut took = Vec::new();
    for row in 0..200 {
        let begin = Instant::now();
        sqlx::query("INSERT INTO committed VALUES ($1)").bind(row).execute(&mut *c).await?;
        took.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    Ok(took[took.len() / 2])
}
