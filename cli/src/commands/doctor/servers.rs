//! Examines whether a server can be reached, is an `ops` server, serves, has the right time, and does its repairs.

use std::io;

use chrono::{DateTime, Utc};
use proto::v1::ListWorkersRequest;
use server::doctor::{Examination, Finding};

use super::{
    deliveries,
    http::{self, Answer, NoAnswer},
    repairs,
};
use crate::{args::target::ServerAddress, connection, errors, output::text};

const WHY: &str = "workers and operators can not use it";
/// The header has whole seconds, and the answer takes some time.
const CLOCK_TOLERANCE_S: i64 = 3;

pub(super) async fn examine(address: &ServerAddress) -> Examination {
    let mut found = Examination::default();
    let authority = address.uri().authority().map(ToString::to_string).unwrap_or_default();
    match http::get(&authority, "/healthz").await {
        Ok(answer) if answer.field("status").as_deref() == Some("alive") => {
            alive(address, &authority, &answer, &mut found).await
        }
        Ok(answer) => found.add(not_ours(&authority, &format!("it answers /healthz with {}", answer.status))),
        Err(NoAnswer::Strange(why)) => found.add(not_ours(&authority, &why)),
        Err(NoAnswer::Closed(error)) => found.add(closed(&authority, &error)),
    }
    found
}

async fn alive(address: &ServerAddress, authority: &str, answer: &Answer, found: &mut Examination) {
    let ours = env!("CARGO_PKG_VERSION");
    if let Some(version) = answer.field("version") {
        found.fact("version", text::line(&version));
        if version != ours {
            found.add(Finding::note(
                "server-version",
                format!("the server has version {}, and this program {ours}", text::line(&version)),
                "the older one refuses what only the newer one knows",
                "use the program of the server's release, or finish the rolling restart",
            ));
        }
    }
    clock(answer, found);
    match http::get(authority, "/readyz").await {
        Ok(ready) if ready.status == 200 => found.fact("state", "ready"),
        Ok(ready) => {
            let reason = ready.field("reason").map_or_else(|| format!("HTTP {}", ready.status), |it| text::line(&it));
            found.add(Finding::error(
                "server-not-ready",
                format!("the server runs, but is not ready: {reason}"),
                "it refuses calls with UNAVAILABLE; its workers continue their runs",
                "examine its database: `ops doctor --database-url ...`; its log says since when",
            ));
            // Calls would only repeat this finding.
            return;
        }
        Err(error) => {
            found.add(not_ours(authority, &format!("it answers /healthz, but not /readyz: {error:?}")));
            return;
        }
    }
    if let Err(why) = call(address).await {
        found.add(Finding::error(
            "server-grpc",
            format!("{authority} answers HTTP, but not gRPC: {why}"),
            "everything but health is a gRPC call",
            "a proxy between must speak HTTP/2 to the server: for nginx `grpc_pass`, for Envoy `http2_protocol_options`",
        ));
    }
    // A proxy may hide the metrics, which is no fault.
    if let Ok(metrics) = http::get(authority, "/metrics").await {
        repairs::examine(&metrics.body, found);
        deliveries::examine(&metrics.body, found);
    }
}

/// A call as an operator's verb makes it.
async fn call(address: &ServerAddress) -> Result<(), String> {
    let client = connection::connect(address).await.map_err(|error| format!("{error:#}"))?;
    let request = ListWorkersRequest { page_size: 1, ..ListWorkersRequest::default() };
    client.workers().list_workers(request).await.map(drop).map_err(|status| errors::brief(&status))
}

fn clock(answer: &Answer, found: &mut Examination) {
    let Some(theirs) = answer.header("date").and_then(|date| DateTime::parse_from_rfc2822(date).ok()) else { return };
    let ahead = (theirs.with_timezone(&Utc) - Utc::now()).num_seconds();
    if ahead.abs() > CLOCK_TOLERANCE_S {
        found.add(Finding::warning(
            "server-clock",
            format!("the server's clock is {} s {} ours", ahead.abs(), if ahead < 0 { "behind" } else { "ahead of" }),
            "only the database's clock decides, so nothing breaks; but the times in logs do not match, and a time that a \
             client computes from its own clock comes early or late",
            "on both machines: `timedatectl set-ntp true`; `chronyc tracking` says how far off a clock is",
        ));
    }
}

fn not_ours(authority: &str, why: &str) -> Finding {
    let mend =
        "use the address that `ops serve` prints at its start, `listening on ...`; a proxy must let /healthz pass";
    Finding::error(
        "not-a-server",
        format!("the program at {authority} is not a server of Ops Control Room: {why}"),
        WHY,
        mend,
    )
}

fn closed(authority: &str, error: &io::Error) -> Finding {
    let found = |id, what: String, mend: &str| Finding::error(id, what, WHY, mend);
    let text = error.to_string();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => found(
            "server-refused",
            format!("nobody listens at {authority}: {text}"),
            &format!(
                "start one there: `ops serve --listen {authority}`; from another machine it is reached only with --listen \
                 0.0.0.0:{} --insecure, or an address of its own",
                authority.rsplit(':').next().unwrap_or_default()
            ),
        ),
        io::ErrorKind::TimedOut => found(
            "server-silent",
            format!("nobody answers at {authority}"),
            "is the machine up, and is a firewall between?",
        ),
        _ if text.contains("lookup address") || text.contains("nodename nor servname") => found(
            "server-dns",
            format!("the name in {authority} can not be resolved: {text}"),
            "is it spelled right, and known here? `getent hosts NAME` asks the same",
        ),
        _ => {
            found("server-unreachable", format!("{authority} can not be reached: {text}"), "check the network between")
        }
    }
}
