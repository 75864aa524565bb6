//! Which module of a crate may name which: downwards only, and never in a circle. `crates` has the arrows between crates.

use crate::modules::Modules;
use crate::paths::paths;
use crate::tree::{File, files};

/// A layer, and which others of its crate it may name. The files that put a crate together (`lib.rs`, `app.rs`, `engine.rs`) may
/// name all.
type Layers = &'static [(&'static str, &'static [&'static str])];

const ENGINE: Layers = &[
    ("domain", &[]),
    ("settings", &[]),
    ("db", &["domain"]),
    ("error", &["db", "domain"]),
    ("telemetry", &["domain"]),
    ("store", &["db", "domain"]),
    ("wakeups", &["store", "db", "settings"]),
    ("batch", &["store", "db", "error", "domain"]),
    ("idempotent", &["store", "db", "error", "domain"]),
    ("listing", &["db", "domain"]),
    ("enqueue", &["batch", "idempotent", "store", "db", "wakeups", "telemetry", "settings", "error", "domain"]),
    ("watch", &["store", "db", "wakeups", "settings", "domain"]),
    ("stream", &["batch", "store", "db", "wakeups", "telemetry", "settings", "error", "domain"]),
    ("dispatch", &["stream", "store", "db", "wakeups", "telemetry", "settings", "error", "domain"]),
    ("engine", &["dispatch", "stream", "watch", "enqueue", "batch", "store", "db", "wakeups", "telemetry", "settings"]),
    ("serve", &["engine", "stream", "batch", "store", "db", "wakeups", "settings", "error", "domain"]),
    ("unary", &["engine", "dispatch", "stream", "batch", "idempotent", "store", "db", "error", "domain"]),
    ("session_cancel", &["engine", "store", "db", "wakeups"]),
    ("repair", &["engine", "session_cancel", "store", "db", "wakeups", "telemetry", "settings"]),
];

const SERVER: Layers = &[
    ("transport", &[]),
    ("telemetry", &[]),
    ("database_url", &[]),
    ("doctor", &["database_url"]),
    ("memory", &["telemetry"]),
    ("edge", &["telemetry"]),
    ("services", &["edge"]),
    ("http", &["edge", "telemetry"]),
    ("config", &["transport"]),
    ("app", &["services", "http", "edge", "memory", "telemetry", "transport", "database_url", "config"]),
];

const LAYERS: [(&str, Layers); 2] = [("engine", ENGINE), ("server", SERVER)];

/// The crates in which no two files name each other.
const NO_CIRCLES: [&str; 9] = ["engine", "server", "worker", "handlers", "client", "cli", "devpg", "faults", "bench"];

/// Which layers may name an external crate. The engine knows neither gRPC nor HTTP, because it does not depend on them.
const OUTSIDE: [(&str, &[&str]); 10] = [
    ("server/proto", &["edge", "services"]),
    ("server/prost", &["edge"]),
    ("server/prost_types", &["edge", "services"]),
    ("server/tonic", &["edge", "services", "app"]),
    ("server/tonic_types", &["edge"]),
    ("server/hyper_util", &["transport"]),
    ("server/sqlx", &["doctor"]),
    ("engine/sqlx", &["db", "store"]),
    ("engine/prometheus", &["telemetry"]),
    (
        "engine/tokio",
        &[
            "db", "store", "batch", "enqueue", "stream", "dispatch", "unary", "watch", "wakeups", "repair", "engine",
            "serve",
        ],
    ),
];

/// Crates that the engine may not name, whatever Cargo.toml says.
const NEVER_IN_ENGINE: [&str; 6] = ["proto", "prost", "tonic", "axum", "hyper", "clap"];

fn layer_of(module: &[String]) -> &str {
    module.first().map_or("", String::as_str)
}

#[test]
fn a_layer_names_only_those_below() {
    let mut breaks = Vec::new();
    for (folder, layers) in LAYERS {
        let modules = Modules::of(folder);
        for used in modules.uses() {
            let (from, to) = (layer_of(&used.from), layer_of(&used.to));
            let below = layers.iter().find(|(layer, _)| *layer == from).map(|(_, below)| *below);
            if let Some(below) = below
                && to != from
                && !to.is_empty()
                && !below.contains(&to)
            {
                let (file, line) = (modules.file(&used.from), used.line);
                breaks.push(format!("{file}:{line}: {from} names {}, but may know only {below:?}", used.path));
            }
        }
    }
    crate::nothing_breaks("arrows go downwards: see ARCHITECTURE.md", &breaks);
}

#[test]
fn every_file_belongs_to_a_layer() {
    let mut breaks = Vec::new();
    for (folder, layers) in LAYERS {
        let modules = Modules::of(folder);
        let unknown = |layer: &str| !layer.is_empty() && !layers.iter().any(|(it, _)| *it == layer);
        for module in modules.modules().filter(|module| unknown(layer_of(module))) {
            breaks.push(format!("{}: give its layer its arrows in tests/tidy/arrows.rs", modules.file(module)));
        }
    }
    crate::nothing_breaks("each layer has its arrows", &breaks);
}

#[test]
fn no_two_files_name_each_other() {
    let breaks: Vec<_> = NO_CIRCLES.iter().flat_map(|folder| Modules::of(folder).circles()).collect();
    crate::nothing_breaks("code that two files share belongs into a third file, below both", &breaks);
}

#[test]
fn a_service_names_no_other_service() {
    let modules = Modules::of("server");
    let service = |module: &[String]| match module {
        [services, name, ..] if services == "services" => Some(name.clone()),
        _ => None,
    };
    let mut breaks = Vec::new();
    for used in modules.uses() {
        let (Some(from), Some(to)) = (service(&used.from), service(&used.to)) else { continue };
        if from != to && from != "routes" {
            breaks.push(format!("{}:{}: {from} names {}", modules.file(&used.from), used.line, used.path));
        }
    }
    crate::nothing_breaks("a feature knows the engine and the edge, never another feature", &breaks);
}

#[test]
fn each_foreign_crate_has_its_layers() {
    let mut breaks = Vec::new();
    for (folder, layer, file) in layered() {
        for named in paths(&file.text) {
            let first = named.path.split("::").next().unwrap_or_default();
            if folder == "engine" && NEVER_IN_ENGINE.contains(&first) {
                breaks.push(format!("{}:{}: the engine names {}", file.path, named.line, named.path));
            }
            let place = format!("{folder}/{first}");
            if let Some((_, layers)) = OUTSIDE.iter().find(|(it, _)| *it == place)
                && !layers.contains(&layer)
            {
                let line = named.line;
                breaks.push(format!("{}:{line}: {layer} names {}; {first} is for {layers:?}", file.path, named.path));
            }
        }
    }
    crate::nothing_breaks("the wire stays at the edge, and SQL in the store", &breaks);
}

#[test]
fn one_file_maps_errors_to_status_codes() {
    let mut breaks = Vec::new();
    for (_, _, file) in layered().filter(|(_, _, file)| file.path != "server/src/edge/status.rs") {
        for named in paths(&file.text).into_iter().filter(|named| named.path.starts_with("tonic::Code")) {
            breaks.push(format!("{}:{}: names {}", file.path, named.line, named.path));
        }
    }
    crate::nothing_breaks("tonic::Code is named in edge/status.rs only", &breaks);
}

#[test]
fn the_domain_gets_the_time_as_an_argument() {
    let mut breaks = Vec::new();
    for (_, _, file) in layered().filter(|(folder, layer, _)| *folder == "engine" && *layer == "domain") {
        for named in paths(&file.text).into_iter().filter(|named| named.path.ends_with("::now")) {
            breaks.push(format!("{}:{}: calls {}", file.path, named.line, named.path));
        }
    }
    crate::nothing_breaks("in domain/ the clock is an argument", &breaks);
}

/// The files that belong to a layer: the crate, the layer, the file.
fn layered() -> impl Iterator<Item = (&'static str, &'static str, &'static File)> {
    files(&[".rs"]).filter_map(|file| {
        let (folder, _) = LAYERS.iter().find(|(folder, _)| file.path.starts_with(&format!("{folder}/src/")))?;
        let inside = file.path.strip_prefix(folder)?.strip_prefix("/src/")?;
        let layer = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
        Some((*folder, layer, file))
    })
}
