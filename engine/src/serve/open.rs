//! A worker connects: the server registers it, or resumes it, and opens its stream.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::Engine;
use crate::EngineError;
use crate::db::Class;
use crate::domain::frame::{Hello, Rejection, ReportAnswer, ServerFrame, Welcome};
use crate::domain::{GrantKey, Refusal, TenantId};
use crate::serve::resume::{Opened, Resumed, resume_worker};
use crate::settings::heartbeat_interval;
use crate::store::effects::Effects;
use crate::store::run::claim::ClaimGroup;
use crate::store::worker::record::{StreamOpening, worker_insert};
use crate::stream::connection::{Connection, OUTBOX_FRAMES};
use crate::wakeups::Topic;

/// Opens the stream of a worker: registers it, so that the dispatcher sees it, and sends `Welcome`.
pub async fn open(
    engine: &Arc<Engine>,
    tenant: TenantId,
    hello: Hello,
) -> Result<(Arc<Connection>, mpsc::Receiver<ServerFrame>), EngineError> {
    let lease = engine.settings.lease_timeout;
    let new_opening = |worker_id: Uuid, secret: &str| StreamOpening {
        worker_id,
        tenant: tenant.clone(),
        profile: hello.profile.clone(),
        secret_hash: hash(secret),
        server_id: engine.server_id,
        lease,
    };
    let resumed = match hello.resume.clone() {
        Some(resume) => {
            let opening = new_opening(resume.worker_id, &resume.secret);
            let (worker_id, secret) = (resume.worker_id, resume.secret.clone());
            match resume_worker(engine, opening, resume).await? {
                Resumed::Opened(opened) => Some((worker_id, secret, opened)),
                Resumed::Unknown => None,
                Resumed::Late => return Err(Refusal::StreamReplaced.into()),
            }
        }
        None => None,
    };
    let (worker_id, secret, opened) = match resumed {
        Some(resumed) => resumed,
        None => {
            let db = engine.db(Class::Priority);
            let (worker_id, secret) = (db.clock().new_id(), new_secret());
            let opening = new_opening(worker_id, &secret);
            let inserted = db.write(opening, |c, opening| worker_insert(c, opening).boxed());
            (worker_id, secret, Opened { epoch: inserted.await?, effects: Effects::WORK, ..Opened::default() })
        }
    };

    let (outbox, frames) = mpsc::channel(OUTBOX_FRAMES);
    let group = ClaimGroup { tenant, lanes: hello.profile.lanes, kinds: hello.profile.kinds };
    let connection = Connection::new(worker_id, hello.profile.name.clone(), opened.epoch, group, lease, outbox);
    for held in &opened.standing {
        let started = Instant::now().checked_sub(held.started_ago).unwrap_or_else(Instant::now);
        connection.grants().resume(held.grant, held.attempt, started);
    }
    connection.grants().unwritten(opened.unwritten);
    connection.send(ServerFrame::Welcome(Welcome {
        worker_id,
        secret,
        stream_epoch: opened.epoch,
        heartbeat_interval: heartbeat_interval(lease),
        lease_timeout: lease,
        event_credits: engine.settings.event_credits,
        standing: opened.standing.iter().map(|held| held.grant).collect(),
        settled: opened.settled.iter().map(|(grant, reported)| settled(*grant, *reported)).collect(),
    }));
    engine.registry.add(connection.clone());
    // The worker gets the orders that came while it was away.
    engine.wakeups.give_here(Topic::Orders);
    engine.wakeups.send(opened.effects);
    tracing::info!(%worker_id, worker = hello.profile.name, epoch = opened.epoch, held = opened.standing.len(), "worker connected");
    Ok((connection, frames))
}

/// The answer to a report whose first answer was lost, or to a grant that was lost.
fn settled(grant: GrantKey, reported: bool) -> ReportAnswer {
    let GrantKey { run_id, fence } = grant;
    let rejected = (!reported).then_some(Rejection::Refused(Refusal::LeaseLost { run_id, fence }));
    ReportAnswer { grant, rejected }
}

fn new_secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}
