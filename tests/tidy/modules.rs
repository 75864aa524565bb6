//! Which files of a crate name which: follows the paths of [`crate::paths`] to the files that they lead to.

use std::collections::{BTreeMap, BTreeSet};

use crate::paths::paths;
use crate::tree::{File, files};

/// The files of a crate as modules.
pub struct Modules {
    /// `["stream", "grants"]` for `src/stream/grants.rs`; empty for `lib.rs` or `main.rs`.
    by_module: BTreeMap<Vec<String>, &'static File>,
    /// What a file exports under another name: `pub use pool::Db` in `db/mod.rs` leads from `Db` to `pool`.
    re_exports: BTreeMap<(Vec<String>, String), String>,
}

/// A file names something of another file of its crate.
pub struct Use {
    pub from: Vec<String>,
    pub to: Vec<String>,
    pub path: String,
    pub line: usize,
}

impl Modules {
    /// The modules of the crate in this folder.
    pub fn of(folder: &str) -> Self {
        let mut modules = Self { by_module: BTreeMap::new(), re_exports: BTreeMap::new() };
        let root = format!("{folder}/src/");
        for file in files(&[".rs"]) {
            if let Some(inside) = file.path.strip_prefix(&root) {
                modules.by_module.insert(module(inside), file);
            }
        }
        for (module, file) in &modules.by_module {
            for path in re_exported(&file.text) {
                if let Some(name) = path.rsplit("::").next() {
                    modules.re_exports.insert((module.clone(), name.to_owned()), path.clone());
                }
            }
        }
        modules
    }

    /// The path of a module's file.
    pub fn file(&self, module: &[String]) -> &str {
        self.by_module.get(module).map_or("", |file| file.path.as_str())
    }

    pub fn modules(&self) -> impl Iterator<Item = &Vec<String>> {
        self.by_module.keys()
    }

    /// All places where files of this crate name other files of it, except in `mod tests`.
    pub fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for (from, file) in &self.by_module {
            for named in paths(without_tests(&file.text)) {
                if let Some(to) = self.resolve(from, &named.path, 0).filter(|to| to != from) {
                    uses.push(Use { from: from.clone(), to, path: named.path, line: named.line });
                }
            }
        }
        uses
    }

    /// Pairs of files that name each other.
    pub fn circles(&self) -> Vec<String> {
        let edges: BTreeSet<_> = self.uses().into_iter().map(|it| (it.from, it.to)).collect();
        let both = edges.iter().filter(|(from, to)| from < to && edges.contains(&(to.clone(), from.clone())));
        both.map(|(from, to)| format!("{} and {} name each other", self.file(from), self.file(to))).collect()
    }

    /// The module that a path in `from` leads to; `None` if it leads out of the crate.
    fn resolve(&self, from: &[String], path: &str, depth: usize) -> Option<Vec<String>> {
        let mut parts = path.split("::").filter(|part| !part.is_empty()).peekable();
        let mut at: Vec<String> = match *parts.peek()? {
            "crate" => Vec::new(),
            "self" | "super" => from.to_vec(),
            first => {
                let child = [from, &[first.to_owned()]].concat();
                if !self.by_module.contains_key(&child) {
                    return None;
                }
                from.to_vec()
            }
        };
        while let Some(first) = parts.next_if(|part| ["crate", "self", "super"].contains(part)) {
            if first == "super" {
                at.pop();
            }
        }
        for part in parts {
            let child = [at.as_slice(), &[part.to_owned()]].concat();
            if self.by_module.contains_key(&child) {
                at = child;
                continue;
            }
            let re_exported = self.re_exports.get(&(at.clone(), part.to_owned()));
            return match re_exported {
                Some(path) if depth < 5 => self.resolve(&at, path, depth + 1).or(Some(at)),
                _ => Some(at),
            };
        }
        Some(at)
    }
}

/// The module of a file inside `src/`.
fn module(inside: &str) -> Vec<String> {
    let path = inside.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if ["lib", "main", "mod"].contains(&path) {
        return Vec::new();
    }
    path.split('/').map(str::to_owned).collect()
}

fn without_tests(text: &str) -> &str {
    text.find("\nmod tests {").map_or(text, |end| &text[..end])
}

/// The paths of a file's `pub use`.
fn re_exported(text: &str) -> Vec<String> {
    let statements = text.split("\npub").skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix("(crate)").or(rest.strip_prefix("(super)")).unwrap_or(rest);
        rest.strip_prefix(" use ")?.split_once(';').map(|(tree, _)| tree)
    });
    statements.flat_map(|tree| paths(&format!("use {tree};"))).map(|named| named.path).collect()
}
