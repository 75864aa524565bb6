//! Faults of the network, by the proxies of the target.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep, sleep_until};

use crate::lab::fault::NetworkFault;
use crate::proxy::{Cut, Flow, Orders, Pass, Proxy, Trap};

/// The longest time between two cuts: long enough to reconnect, short enough to cut that again.
const AGAIN: Duration = Duration::from_millis(900);
/// The longest delay of bytes.
const DELAY: Duration = Duration::from_millis(700);

/// Disturbs these proxies until the end.
pub(super) async fn inject(
    proxies: &[Arc<Proxy>],
    fault: NetworkFault,
    mut rng: StdRng,
    end: Instant,
) -> io::Result<()> {
    let pass = |pass| Flow { pass, ..Flow::default() };
    let flows = |to_server: Flow, to_client: Flow| {
        move |orders: &mut Orders| {
            orders.to_server = to_server;
            orders.to_client = to_client;
        }
    };
    let (through, hold, swallow) = (pass(Pass::Through), pass(Pass::Hold), pass(Pass::Swallow));
    match fault {
        NetworkFault::Cut => again_and_again(proxies, &mut rng, end, |proxy, cut| proxy.cut(cut)).await,
        NetworkFault::Unanswered => {
            let cut_after = Duration::from_millis(300);
            again_and_again(proxies, &mut rng, end, |proxy, _| proxy.arm(Trap::DropResponse { cut_after })).await;
            proxies.iter().for_each(|proxy| proxy.disarm());
        }
        NetworkFault::Refuse => {
            let cut = how(&mut rng);
            order(proxies, |orders| orders.is_refusing = true).await?;
            proxies.iter().for_each(|proxy| proxy.cut(cut));
        }
        NetworkFault::Split => order(proxies, flows(hold, hold)).await?,
        NetworkFault::Deaf => order(proxies, flows(through, hold)).await?,
        NetworkFault::Mute => order(proxies, flows(hold, through)).await?,
        NetworkFault::HalfOpen => order(proxies, flows(swallow, swallow)).await?,
        NetworkFault::Slow => {
            let delay = rng.random_range(Duration::ZERO..DELAY);
            let rate = rng.random_bool(0.5).then(|| rng.random_range(4_000..40_000));
            let slow = Flow { pass: Pass::Through, delay, rate };
            order(proxies, flows(slow, slow)).await?;
        }
    }
    sleep_until(end).await;
    order(proxies, flows(through, through)).await?;
    order(proxies, |orders| orders.is_refusing = false).await
}

async fn order(proxies: &[Arc<Proxy>], change: impl Fn(&mut Orders)) -> io::Result<()> {
    for proxy in proxies {
        proxy.order(&change).await?;
    }
    Ok(())
}

async fn again_and_again(proxies: &[Arc<Proxy>], rng: &mut StdRng, end: Instant, act: impl Fn(&Proxy, Cut)) {
    while Instant::now() < end {
        let cut = how(rng);
        proxies.iter().for_each(|proxy| act(proxy, cut));
        sleep(rng.random_range(Duration::ZERO..AGAIN)).await;
    }
}

pub(super) fn how(rng: &mut StdRng) -> Cut {
    if rng.random_bool(0.5) { Cut::Fin } else { Cut::Rst }
}
