//! The files and functions that ARCHITECTURE.md names exist.

use std::collections::BTreeSet;

use crate::tree::files;

/// The pages whose paths lead into the code.
const PAGES: [&str; 2] = ["ARCHITECTURE.md", "docs/limits.md"];

/// A file that a page names, with what it has of that file: `engine/cancel.rs: cancel_runs`.
struct Name {
    path: String,
    symbol: Option<String>,
}

/// The paths in backticks on a page.
fn names(page: &str) -> Vec<Name> {
    let quoted = page.split('`').skip(1).step_by(2).filter(|text| !text.contains('\n'));
    quoted.flat_map(expand).filter_map(|text| name(&text)).collect()
}

fn name(text: &str) -> Option<Name> {
    let (path, symbol) = match text.split_once(": ") {
        Some((path, symbol)) => (path, Some(symbol.to_owned())),
        None => (text, None),
    };
    let is_path = path.contains('/') && !path.contains([' ', '*', '(']) && !path.starts_with("crash/");
    let is_file = [".rs", ".sql", ".md", "/"].iter().any(|ending| path.ends_with(ending));
    (is_path && is_file).then(|| Name { path: path.to_owned(), symbol })
}

/// `a/{b,c}.sql` is `a/b.sql` and `a/c.sql`.
fn expand(text: &str) -> Vec<String> {
    match (text.find('{'), text.find('}')) {
        (Some(open), Some(close)) if open < close => {
            let parts = text[open + 1..close].split(',');
            parts.map(|part| format!("{}{part}{}", &text[..open], &text[close + 1..])).collect()
        }
        _ => vec![text.to_owned()],
    }
}

/// The possible places of a path of the page: as it is, or with the `src/` of its crate.
fn places(path: &str) -> Vec<String> {
    let inside = path.split_once('/').map(|(folder, rest)| format!("{folder}/src/{rest}"));
    [Some(path.to_owned()), inside].into_iter().flatten().collect()
}

fn defines(text: &str, symbol: &str) -> bool {
    let words = ["fn", "const", "static", "struct", "enum", "trait", "type", "mod"];
    words.iter().any(|word| {
        let definition = format!("{word} {symbol}");
        text.match_indices(&definition).any(|(at, _)| {
            let after = text[at + definition.len()..].chars().next();
            !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
    })
}

#[test]
fn each_file_and_function_that_a_page_names_exists() {
    let pages: Vec<_> = files(&PAGES).filter(|file| PAGES.contains(&file.path.as_str())).collect();
    assert_eq!(pages.len(), PAGES.len(), "each page is there");
    let all = || files(&[".rs", ".sql", ".md", ".proto"]);
    let mut breaks = BTreeSet::new();
    for Name { path, symbol } in pages.iter().flat_map(|page| names(&page.text)) {
        let places = places(&path);
        if path.ends_with('/') {
            if !all().any(|file| places.iter().any(|place| file.path.starts_with(place))) {
                breaks.insert(format!("there is no folder {path}"));
            }
            continue;
        }
        let Some(file) = all().find(|file| places.contains(&file.path)) else {
            breaks.insert(format!("there is no file {path}"));
            continue;
        };
        if let Some(symbol) = symbol.filter(|symbol| !defines(&file.text, symbol)) {
            breaks.insert(format!("{} defines no {symbol}", file.path));
        }
    }
    crate::nothing_breaks(
        "ARCHITECTURE.md and docs/limits.md name what exists",
        &breaks.into_iter().collect::<Vec<_>>(),
    );
}

#[test]
fn each_test_that_proves_an_invariant_exists() {
    let page = files(&["ARCHITECTURE.md"]).next().expect("the page");
    let proofs = page.text.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split(" | ").nth(3));
    let mut breaks = Vec::new();
    for proof in proofs.flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
        let path = match proof.strip_prefix("crash/") {
            Some(file) => format!("cli/tests/ops/crash/{file}"),
            None if proof.contains('/') => continue,
            None => format!("tests/e2e/{}.rs", proof.replace("::", "/")),
        };
        let folder = path.replace(".rs", "/");
        if !files(&[".rs"]).any(|file| file.path == path || file.path.starts_with(&folder)) {
            breaks.push(format!("{proof}: there is no {path}"));
        }
    }
    crate::nothing_breaks("each invariant's tests exist", &breaks);
}
