//! The dependencies of the crates: on each other only along the arrows, on others only from crates.io and with a fitting licence.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

/// Each member, the members that it may depend on, and those that only its tests may use.
const ARROWS: [(&str, &[&str], &[&str]); 11] = [
    ("proto", &[], &["engine", "server", "worker", "handlers", "client", "devpg"]),
    ("client", &["proto"], &[]),
    ("engine", &[], &["devpg"]),
    ("server", &["engine", "proto"], &["devpg"]),
    ("worker", &["proto"], &[]),
    ("handlers", &["worker"], &[]),
    ("devpg", &[], &[]),
    ("cli", &["proto", "server", "worker", "handlers", "client", "devpg"], &["engine"]),
    ("faults", &["proto", "worker", "client", "devpg"], &[]),
    ("fuzz", &["engine", "proto", "server"], &[]),
    ("bench", &["proto", "client", "devpg"], &[]),
];

/// Licences that allow shipping a program together with the licence texts. Of a choice, one is enough.
const LICENCES: [&str; 10] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    // LLVM's libFuzzer, which is not part of the shipped program.
    "NCSA",
    "Unicode-3.0",
    "Zlib",
];

/// TLS is rustls with aws-lc-rs; a second implementation would be a second set of bugs. A build must not need `protoc`.
const BANNED: [&str; 6] = ["openssl", "openssl-sys", "native-tls", "ring", "protobuf-src", "protoc-bin-vendored"];

/// Asks cargo about the workspace.
fn cargo(arguments: &[&str]) -> Vec<u8> {
    let program = option_env!("CARGO").unwrap_or("cargo");
    let output = Command::new(program).args(arguments).arg("--locked").current_dir(crate::tree::root()).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A package that is built for this machine, for the program or for its tests.
struct Package {
    name: String,
    version: String,
    /// Its source; empty for crates.io.
    source: String,
    licence: String,
}

/// The packages by `cargo tree`, because the graph of `cargo metadata` also has packages that no feature needs.
static PACKAGES: LazyLock<Vec<Package>> = LazyLock::new(|| {
    let tree = cargo(&[
        "tree",
        "--workspace",
        "--features",
        "fuzz/libfuzzer",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
    ]);
    let tree = String::from_utf8(tree).expect("cargo prints text");
    let lines: BTreeSet<&str> = tree.lines().filter(|line| line.contains('|')).collect();
    let package = |line: &str| {
        let (package, licence) = line.split_once('|')?;
        let (package, licence) = (package.replace(" (proc-macro)", ""), licence.trim_end_matches(" (*)"));
        let mut parts = package.splitn(3, ' ').map(str::to_owned);
        let (name, version, source) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
        Some(Package { name, version, source, licence: licence.to_owned() })
    };
    lines.into_iter().filter_map(package).collect()
});

#[test]
fn the_crates_of_the_workspace_depend_on_each_other_only_along_the_arrows() {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_slice(&metadata).expect("cargo prints JSON");
    let mut breaks = Vec::new();
    for package in list(&metadata, "packages") {
        let (name, manifest) = (text(package, "name"), text(package, "manifest_path"));
        let Some((_, always, in_tests)) = ARROWS.iter().find(|(it, ..)| *it == name) else {
            breaks.push(format!("{manifest}: give {name} its arrows in tests/tidy/crates.rs"));
            continue;
        };
        for dependency in list(package, "dependencies").filter(|it| it["source"].is_null()) {
            let (other, is_test) = (text(dependency, "name"), text(dependency, "kind") == "dev");
            let allowed = always.contains(&other) || (is_test && in_tests.contains(&other));
            if !allowed {
                breaks.push(format!("{manifest}: {name} depends on {other}, but may only on {always:?}"));
            }
        }
    }
    crate::nothing_breaks("members depend downwards only: see ARCHITECTURE.md", &breaks);
}

#[test]
fn every_dependency_comes_from_crates_io_and_none_is_banned() {
    let mut breaks = Vec::new();
    let root = crate::tree::root().display().to_string();
    for Package { name, source, .. } in PACKAGES.iter() {
        if !source.is_empty() && !source.starts_with(&format!("({root}")) {
            breaks.push(format!("Cargo.lock: {name} comes from {source}"));
        }
        if BANNED.contains(&name.as_str()) {
            breaks.push(format!("Cargo.lock: {name} is banned; `cargo tree -i {name}` shows what depends on it"));
        }
    }
    crate::nothing_breaks("dependencies come from crates.io, and none is banned", &breaks);
}

#[test]
fn every_dependency_has_a_licence_that_fits() {
    let breaks: Vec<_> = PACKAGES
        .iter()
        .filter(|package| !allows(&package.licence))
        .map(|package| format!("Cargo.lock: {} has the licence `{}`", package.name, package.licence))
        .collect();
    crate::nothing_breaks("licences are those of tests/tidy/crates.rs", &breaks);
}

/// Dependencies decide which versions are built, so this only prints them and does not fail: `cargo test --test tidy --
/// --nocapture versions`.
#[test]
fn crates_in_several_versions_are_listed() {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in PACKAGES.iter() {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    assert!(versions.len() > 100, "cargo tree names the dependencies, but only {} were understood", versions.len());
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        println!("{name}: {versions:?}");
    }
}

/// Whether an SPDX expression can be met with the allowed licences.
fn allows(expression: &str) -> bool {
    // An old form writes a choice with a slash.
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ").replace(" WITH ", "\u{1}");
    let words: Vec<String> =
        spaced.split(' ').filter(|it| !it.is_empty()).map(|it| it.replace('\u{1}', " WITH ")).collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(words: &mut &[String]) -> bool {
    let mut met = all_of(words);
    while take(words, "OR") {
        met |= all_of(words);
    }
    met
}

fn all_of(words: &mut &[String]) -> bool {
    let mut met = one(words);
    while take(words, "AND") {
        met &= one(words);
    }
    met
}

fn one(words: &mut &[String]) -> bool {
    if take(words, "(") {
        return any_of(words) & take(words, ")");
    }
    let Some((first, rest)) = words.split_first() else { return false };
    *words = rest;
    LICENCES.contains(&first.as_str())
}

fn take(words: &mut &[String], word: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[test]
fn a_licence_is_met_by_one_of_a_choice_and_all_of_a_sum() {
    for met in
        ["MIT", "MIT/GPL-3.0", "(GPL-2.0 OR MIT) AND ISC", "Apache-2.0 WITH LLVM-exception OR X", "A OR (MIT AND Zlib)"]
    {
        assert!(allows(met), "{met}");
    }
    for unmet in ["", "GPL-3.0", "MIT AND GPL-3.0", "ISC AND (GPL-2.0 OR LGPL-3.0)", "MIT)", "(MIT"] {
        assert!(!allows(unmet), "{unmet}");
    }
}
