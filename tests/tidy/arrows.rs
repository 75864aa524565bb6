//! Who may know whom within the server: downwards only. Between the crates, `crates` looks.

use crate::paths::paths;
use crate::tree::{File, files};

/// What a layer of the server may name of the others. `app.rs` and `lib.rs` may name everything.
const ARROWS: [(&str, &[&str]); 11] = [
    ("transport", &[]),
    ("grpc", &["service", "telemetry", "domain"]),
    ("http", &["service", "telemetry", "domain"]),
    ("service", &["engine", "store", "telemetry", "domain"]),
    ("background", &["engine", "store", "telemetry", "domain"]),
    ("engine", &["store", "telemetry", "domain"]),
    ("store", &["domain"]),
    ("telemetry", &["domain"]),
    ("domain", &[]),
    ("doctor", &["store"]),
    // Configuration is turned into what the engine is set to.
    ("config", &["transport", "engine", "domain"]),
];

/// Which layers of the server may name another crate.
const OUTSIDE: [(&str, &[&str]); 9] = [
    ("proto", &["grpc"]),
    ("prost", &["grpc"]),
    ("prost_types", &["grpc"]),
    ("tonic", &["grpc", "app"]),
    ("tonic_types", &["grpc"]),
    ("axum", &["grpc", "http", "transport", "app"]),
    ("hyper_util", &["transport"]),
    ("sqlx", &["store", "doctor"]),
    ("tokio", &["grpc", "http", "service", "background", "engine", "store", "doctor", "transport", "app"]),
];

/// Where an arrow is broken, and why that is right.
const EXCEPTIONS: [(&str, &str); 1] = [
    // The one file that maps the errors of all layers to a status.
    ("server/src/grpc/status.rs", "crate::store::StoreError"),
];

fn layer(file: &File) -> Option<&str> {
    let inside = file.path.strip_prefix("server/src/")?;
    Some(inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs"))
}

/// Each path that a file of the server names: its layer, the path, and where that is.
fn named() -> impl Iterator<Item = (&'static str, String, String)> {
    files(&[".rs"]).filter_map(|file| Some((layer(file)?, file))).flat_map(|(layer, file)| {
        let excepted = |path: &str| EXCEPTIONS.contains(&(file.path.as_str(), path));
        let named = paths(&file.text).into_iter().filter(move |it| !excepted(&it.path));
        named.map(move |it| (layer, it.path, format!("{}:{}", file.path, it.line)))
    })
}

#[test]
fn the_layers_of_the_server_know_only_those_below() {
    let mut breaks = Vec::new();
    for (layer, path, place) in named() {
        let Some((_, below)) = ARROWS.iter().find(|(it, _)| *it == layer) else { continue };
        let other = path.strip_prefix("crate::").and_then(|it| it.split("::").next()).unwrap_or(layer);
        let is_layer = ARROWS.iter().any(|(it, _)| *it == other) || other == "app";
        if is_layer && other != layer && !below.contains(&other) {
            breaks.push(format!("{place}: {layer} names {path}, but may know only {below:?}"));
        }
    }
    crate::nothing_breaks("arrows go downwards: see ARCHITECTURE.md", &breaks);
}

#[test]
fn the_wire_stays_at_the_edge_and_sql_in_the_store() {
    let mut breaks = Vec::new();
    for (layer, path, place) in named() {
        let first = path.split("::").next().unwrap_or_default();
        if let Some((_, layers)) = OUTSIDE.iter().find(|(it, _)| *it == first)
            && !layers.contains(&layer)
        {
            breaks.push(format!("{place}: {layer} names {path}, but {first} belongs to {layers:?}"));
        }
    }
    crate::nothing_breaks("each foreign crate has its layers", &breaks);
}

#[test]
fn one_file_maps_errors_to_status_codes() {
    let breaks: Vec<_> = named()
        .filter(|(_, path, place)| path.starts_with("tonic::Code") && !place.starts_with("server/src/grpc/status.rs:"))
        .map(|(_, path, place)| format!("{place}: names {path}"))
        .collect();
    crate::nothing_breaks("tonic::Code is named in grpc/status.rs only", &breaks);
}

#[test]
fn the_domain_is_told_the_time() {
    let breaks: Vec<_> = named()
        .filter(|(layer, path, _)| *layer == "domain" && path.ends_with("::now"))
        .map(|(_, path, place)| format!("{place}: calls {path}"))
        .collect();
    crate::nothing_breaks("in domain/ the clock is an argument", &breaks);
}

#[test]
fn every_file_of_the_server_belongs_to_a_layer() {
    let known = |it: &str| ARROWS.iter().any(|(layer, _)| *layer == it) || ["app", "lib", "shutdown"].contains(&it);
    let breaks: Vec<_> = files(&[".rs"])
        .filter(|file| layer(file).is_some_and(|it| !known(it)))
        .map(|file| format!("{}: give it its arrows in tests/tidy/arrows.rs", file.path))
        .collect();
    crate::nothing_breaks("a new layer has its arrows", &breaks);
}

#[test]
fn every_exception_is_still_needed() {
    let breaks: Vec<_> = EXCEPTIONS
        .iter()
        .filter(|(path, named)| {
            !files(&[".rs"]).any(|file| file.path == *path && paths(&file.text).iter().any(|it| it.path == *named))
        })
        .map(|(path, named)| format!("{path} does not name {named}"))
        .collect();
    crate::nothing_breaks("exceptions that nobody needs go", &breaks);
}
