//! What networks do to somebody's lines.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::deed::Trouble;
use crate::proxy::{Cut, Flow, Orders, Pass, Proxy, Trap};

/// Between two cuts: time to come back, and to be cut again in the middle of that.
const AGAIN: Duration = Duration::from_millis(900);
/// The longest that bytes are on their way.
const DELAY: Duration = Duration::from_millis(700);

/// Makes trouble on these lines, and mends them.
pub(super) async fn trouble(lines: &[Arc<Proxy>], trouble: Trouble, mut rng: StdRng, end: Instant) -> io::Result<()> {
    let pass = |pass| Flow { pass, ..Flow::default() };
    let flows = |to_server: Flow, to_client: Flow| {
        move |orders: &mut Orders| {
            orders.to_server = to_server;
            orders.to_client = to_client;
        }
    };
    let (through, hold, swallow) = (pass(Pass::Through), pass(Pass::Hold), pass(Pass::Swallow));
    match trouble {
        Trouble::Cut => again_and_again(lines, &mut rng, end, |line, cut| line.cut(cut)).await,
        Trouble::Unanswered => {
            let cut_after = Duration::from_millis(300);
            again_and_again(lines, &mut rng, end, |line, _| line.arm(Trap::DropResponse { cut_after })).await;
            lines.iter().for_each(|line| line.disarm());
        }
        Trouble::Refuse => {
            let cut = how(&mut rng);
            order(lines, |orders| orders.is_refusing = true).await?;
            lines.iter().for_each(|line| line.cut(cut));
        }
        Trouble::Split => order(lines, flows(hold, hold)).await?,
        Trouble::Deaf => order(lines, flows(through, hold)).await?,
        Trouble::Mute => order(lines, flows(hold, through)).await?,
        Trouble::HalfOpen => order(lines, flows(swallow, swallow)).await?,
        Trouble::Slow => {
            let delay = rng.random_range(Duration::ZERO..DELAY);
            let rate = rng.random_bool(0.5).then(|| rng.random_range(4_000..40_000));
            let slow = Flow { pass: Pass::Through, delay, rate };
            order(lines, flows(slow, slow)).await?;
        }
    }
    sleep_until(end).await;
    order(lines, flows(through, through)).await?;
    order(lines, |orders| orders.is_refusing = false).await
}

async fn order(lines: &[Arc<Proxy>], change: impl Fn(&mut Orders)) -> io::Result<()> {
    for line in lines {
        line.order(&change).await?;
    }
    Ok(())
}

async fn again_and_again(lines: &[Arc<Proxy>], rng: &mut StdRng, end: Instant, act: impl Fn(&Proxy, Cut)) {
    while Instant::now() < end {
        let cut = how(rng);
        lines.iter().for_each(|line| act(line, cut));
        sleep(rng.random_range(Duration::ZERO..AGAIN)).await;
    }
}

pub(super) fn how(rng: &mut StdRng) -> Cut {
    if rng.random_bool(0.5) { Cut::Fin } else { Cut::Rst }
}
