//! The two roles of this peer, spoken to by measure.py: lines in, lines that begin with "@" out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use sqlx::PgPool;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::{BATCH_SIZE, CONCURRENCY, CONNECTIONS, Noop, Producer};

const BATCH: usize = 1000;
/// Two batches at once: one is written while the next is made ready.
const IN_FLIGHT: usize = 2;
const VERSION: &str = "1.0.0";

fn answer(words: impl std::fmt::Display) {
    println!("@{words}");
}

/// CLOCK_MONOTONIC, the same in every process of the machine.
pub fn now_ns() -> i64 {
    let at = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the machine has a clock");
    at.tv_sec() * 1_000_000_000 + at.tv_nsec()
}

/// What a worker executed, and how late.
#[derive(Default)]
pub struct Report {
    count: AtomicUsize,
    executed: Mutex<Vec<usize>>,
    latencies_ms: Mutex<Vec<f64>>,
}

impl Report {
    pub fn executed(&self, started_ns: i64, n: usize, due_ns: Option<i64>) {
        if let Some(due_ns) = due_ns {
            self.latencies_ms.lock().expect("no panic").push((started_ns - due_ns) as f64 / 1e6);
        }
        self.executed.lock().expect("no panic").push(n);
        self.count.fetch_add(1, Ordering::Release);
    }

    fn json(&self) -> serde_json::Value {
        let executed = self.executed.lock().expect("no panic").clone();
        let latencies_ms = self.latencies_ms.lock().expect("no panic").clone();
        json!({ "executed": executed, "latencies_ms": latencies_ms })
    }

    /// Says how many jobs were executed, when there are more of them.
    async fn tell(&self) {
        let mut told = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let count = self.count.load(Ordering::Acquire);
            if count != told {
                told = count;
                answer(format_args!("executed {told}"));
            }
        }
    }
}

fn job(n: usize, due_ns: Option<i64>) -> Noop {
    Noop { n, to: "someone@example.com".to_owned(), due_ns }
}

/// Waits for one task more, if there is one, and passes on its error.
async fn join_one(tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    match tasks.join_next().await {
        Some(ended) => ended?,
        None => Ok(()),
    }
}

async fn enqueue(producer: &Producer, first: usize, count: usize) -> Result<f64> {
    let begun = now_ns();
    let mut tasks = JoinSet::new();
    for from in (first..first + count).step_by(BATCH) {
        if tasks.len() == IN_FLIGHT {
            join_one(&mut tasks).await?;
        }
        let jobs = (from..(from + BATCH).min(first + count)).map(|n| job(n, None)).collect();
        tasks.spawn(producer.clone().enqueue(jobs));
    }
    while !tasks.is_empty() {
        join_one(&mut tasks).await?;
    }
    Ok((now_ns() - begun) as f64 / 1e9)
}

/// An open model: the due times are fixed before the first job, and a slow insert does not hold up the next.
async fn pace(producer: &Producer, first: usize, count: usize, rate: usize) -> Result<()> {
    let begin = now_ns() + 100_000_000;
    let mut tasks = JoinSet::new();
    for i in 0..count {
        let due_ns = begin + (i * 1_000_000_000 / rate) as i64;
        // A timer of Tokio is up to a millisecond late; this thread has nothing else to do.
        let left_ns = due_ns - now_ns();
        tokio::task::block_in_place(|| std::thread::sleep(Duration::from_nanos(left_ns.max(0) as u64)));
        tasks.spawn(producer.clone().enqueue_one(job(first + i, Some(due_ns))));
    }
    while !tasks.is_empty() {
        join_one(&mut tasks).await?;
    }
    Ok(())
}

/// Waits until the database has no unfinished job; when that was, and how many finished rows are kept.
async fn finished(producer: &Producer) -> Result<String> {
    while producer.any_unfinished().await? {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let at_ns = now_ns();
    Ok(format!("{at_ns} {}", producer.kept_rows().await?))
}

/// Enqueues what it is told to.
pub async fn produce(producer: Producer) -> Result<()> {
    let settings = format!(
        "batch_size {BATCH_SIZE}, concurrency {CONCURRENCY}, lock_tasks off, pubsub, sqlx pool of {CONNECTIONS}, push_bulk of {BATCH}"
    );
    answer(json!({ "version": VERSION, "settings": settings, "keeps_outcome_rows": true }));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let mut words = line.split(' ');
        let command = words.next().unwrap_or_default();
        let numbers: Vec<usize> = words.map(str::parse).collect::<Result<_, _>>()?;
        match (command, numbers.as_slice()) {
            ("schema", []) => {
                producer.create_schema().await?;
                answer("ok");
            }
            ("settle", []) => {
                producer.settle().await?;
                answer("ok");
            }
            ("enqueue", [first, count]) => answer(enqueue(&producer, *first, *count).await?),
            ("pace", [first, count, rate]) => {
                pace(&producer, *first, *count, *rate).await?;
                answer("ok");
            }
            ("finished", []) => answer(finished(&producer).await?),
            _ => bail!("unknown command {line}"),
        }
    }
    Ok(())
}

/// Executes jobs, from when it is told to.
pub async fn work(pool: PgPool) -> Result<()> {
    let report = Arc::new(Report::default());
    let mut tasks = JoinSet::new();
    let mut stop = None;
    let mut telling = JoinSet::new();
    telling.spawn({
        let report = report.clone();
        async move { report.tell().await }
    });
    answer("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.as_str() {
            "start" => {
                let (sender, receiver) = oneshot::channel();
                stop = Some(sender);
                crate::start(&pool, report.clone(), &mut tasks, receiver);
            }
            "report" => answer(report.json()),
            _ => bail!("unknown command {line}"),
        }
    }
    drop(stop);
    join_one(&mut tasks).await
}
