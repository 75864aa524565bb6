//! The configuration of a worker, and the check that finds all its violations at once.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use tonic::transport::{Endpoint, Uri};

use crate::api::error::WorkerError;

/// Default of [`WorkerConfig::slots`].
pub const DEFAULT_SLOTS: usize = 8;
/// The server's limit for the runs of one stream.
const MAX_SLOTS: usize = 10_000;
/// Default of [`WorkerConfig::drain_timeout`].
pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(25);

/// The configuration of a worker.
#[derive(Clone)]
pub struct WorkerConfig {
    /// Addresses of server replicas, such as `http://127.0.0.1:7070`; the default scheme is `http`. At least one. The worker
    /// holds one stream to one replica, and goes to the next one when it loses the stream.
    pub servers: Vec<String>,
    /// The worker's name for people; 1 to 200 characters, not unique. Default: the host's name and the process id.
    pub name: String,
    /// Lanes that the worker serves; at least one. Default: all.
    pub lanes: Vec<Lane>,
    /// Kinds that the worker takes; each needs a registered handler. Default (`None`): the kinds of all registered handlers.
    pub kinds: Option<Vec<String>>,
    /// Runs that the worker executes at the same time; 1 to 10,000. Default: 8.
    pub slots: usize,
    /// Labels for people; they do not route runs.
    pub labels: BTreeMap<String, String>,
    /// The worker's version, for people. Default: the version of this library.
    pub version: String,
    /// A shutdown takes no longer than this. 7 s before its end the worker asks the handlers that still run to stop, gives them 5 s for
    /// it, and reports them as failed with type `WorkerShutdown`. An operator's drain has no such limit. Default: 25 s, which is less
    /// than the 30 s after which Kubernetes kills a pod.
    pub drain_timeout: Duration,
    /// Sent as `authorization: Bearer <token>`.
    pub token: Option<String>,
    /// The authority that signed the server's certificate, as PEM; needed for `https` addresses.
    pub ca_certificate_pem: Option<Vec<u8>>,
}

impl WorkerConfig {
    /// The defaults, with one server address.
    pub fn new(server: impl Into<String>) -> Self {
        Self {
            servers: vec![server.into()],
            name: default_name(),
            lanes: Lane::ALL.to_vec(),
            kinds: None,
            slots: DEFAULT_SLOTS,
            labels: BTreeMap::new(),
            version: env!("CARGO_PKG_VERSION").into(),
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
            token: None,
            ca_certificate_pem: None,
        }
    }

    /// Returns the parsed server addresses, and the kinds.
    ///
    /// # Errors
    /// `Config` with all violations of the configuration.
    pub(crate) fn check(&self, registered: &[&str]) -> Result<(Vec<Endpoint>, Vec<String>), WorkerError> {
        let mut violations = Vec::new();
        let mut endpoints = Vec::new();
        if self.servers.is_empty() {
            violations.push("servers: expected at least one address, got none".into());
        }
        for (index, server) in self.servers.iter().enumerate() {
            match parse_server(server) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(reason) => violations.push(format!("servers[{index}]: {reason}, got `{server}`")),
            }
        }
        let name_length = self.name.chars().count();
        if !(1..=200).contains(&name_length) {
            violations.push(format!("name: expected 1 to 200 characters, got {name_length}"));
        }
        if self.lanes.is_empty() {
            violations.push("lanes: expected at least one of A, B, C, D, got none".into());
        }
        if !(1..=MAX_SLOTS).contains(&self.slots) {
            violations.push(format!("slots: expected 1 to {MAX_SLOTS}, got {}", self.slots));
        }
        if registered.is_empty() {
            violations.push("handlers: expected at least one, got none".into());
        }
        let kinds: Vec<String> = match &self.kinds {
            None => registered.iter().map(ToString::to_string).collect(),
            Some(kinds) => kinds.clone(),
        };
        // To the server, an empty list means "any kind".
        if self.kinds.as_ref().is_some_and(Vec::is_empty) {
            violations.push("kinds: expected at least one, got none".into());
        }
        if kinds.len() > 100 {
            violations.push(format!("kinds: expected up to 100, got {}", kinds.len()));
        }
        for (index, kind) in kinds.iter().enumerate() {
            if !registered.contains(&kind.as_str()) {
                violations.push(format!(
                    "kinds[{index}]: expected one of the registered handlers ({}), got `{kind}`",
                    registered.join(", ")
                ));
            }
        }
        if violations.is_empty() { Ok((endpoints, kinds)) } else { Err(WorkerError::Config(violations)) }
    }
}

impl fmt::Debug for WorkerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the token, which is a secret.
        f.debug_struct("WorkerConfig")
            .field("servers", &self.servers)
            .field("name", &self.name)
            .field("lanes", &self.lanes)
            .field("kinds", &self.kinds)
            .field("slots", &self.slots)
            .field("version", &self.version)
            .field("drain_timeout", &self.drain_timeout)
            .finish_non_exhaustive()
    }
}

/// A lane that the worker serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Lane A.
    A,
    /// Lane B.
    B,
    /// Lane C.
    C,
    /// Lane D.
    D,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];
}

impl FromStr for Lane {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "A" | "a" => Ok(Self::A),
            "B" | "b" => Ok(Self::B),
            "C" | "c" => Ok(Self::C),
            "D" | "d" => Ok(Self::D),
            other => Err(format!("expected one of A, B, C, D, got `{other}`")),
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

fn parse_server(server: &str) -> Result<Endpoint, String> {
    let address = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let uri: Uri =
        address.parse().map_err(|error| format!("expected an address such as http://host:port ({error})"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(_)) => Ok(Endpoint::from(uri)),
        _ => Err("expected an http or https address with a host".into()),
    }
}

fn default_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .map_or_else(|| "worker".into(), |name| format!("{name}-{}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(config: &WorkerConfig, registered: &[&str]) -> Vec<String> {
        match config.check(registered) {
            Err(WorkerError::Config(violations)) => violations,
            other => panic!("expected violations, got {:?}", other.map(|(_, kinds)| kinds)),
        }
    }

    #[test]
    fn every_violation_is_named_at_once() {
        let mut config = WorkerConfig::new("ftp://x");
        config.name = String::new();
        config.lanes.clear();
        config.slots = 0;
        let found = violations(&config, &[]);
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found[0].starts_with("servers[0]: expected an http or https address"), "{found:?}");
    }

    #[test]
    fn kinds_default_to_the_registered_ones_and_must_be_among_them() {
        let mut config = WorkerConfig::new("127.0.0.1:1");
        assert_eq!(config.check(&["shell", "sleep"]).unwrap().1, ["shell", "sleep"]);
        config.kinds = Some(vec!["sleep".into()]);
        assert_eq!(config.check(&["shell", "sleep"]).unwrap().1, ["sleep"]);
        config.kinds = Some(vec!["slep".into()]);
        assert_eq!(
            violations(&config, &["shell", "sleep"]),
            ["kinds[0]: expected one of the registered handlers (shell, sleep), got `slep`"]
        );
        config.kinds = Some(vec![]);
        assert_eq!(violations(&config, &["shell"]), ["kinds: expected at least one, got none"]);
    }
}
