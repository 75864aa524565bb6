//! The paths that a Rust file names, such as `crate::store::Db`. The scan of the text knows comments, strings and the braces of
//! `use`, but nothing else of the language.

/// A path, and the line of its end.
#[derive(Debug, PartialEq)]
pub struct Named {
    pub line: usize,
    pub path: String,
}

/// All paths of a source, with a separate path for each branch of a `use` tree.
pub fn paths(source: &str) -> Vec<Named> {
    let mut scan = Scan { rest: source, line: 1, found: Vec::new() };
    while !scan.rest.is_empty() {
        scan.step("");
    }
    scan.found
}

struct Scan<'a> {
    rest: &'a str,
    line: usize,
    found: Vec<Named>,
}

impl Scan<'_> {
    /// Takes one comment, string, path or other character.
    fn step(&mut self, prefix: &str) {
        if self.rest.starts_with("//") {
            self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("'\"'") {
            self.take(3);
        } else if let Some(after) = self.rest.strip_prefix("r#\"") {
            self.take(after.find("\"#").map_or(self.rest.len(), |end| end + 5));
        } else if self.rest.starts_with('"') {
            self.string();
        } else if self.rest.starts_with(is_ident) {
            self.path(prefix);
        } else {
            self.take(self.rest.chars().next().map_or(0, char::len_utf8));
        }
    }

    /// Takes the path `a::b::c` or `a::{b, c::d}` at the present position.
    fn path(&mut self, prefix: &str) {
        let mut path = prefix.to_owned();
        loop {
            path.push_str(&self.rest[..self.ident()]);
            self.take(self.ident());
            let Some(after) = self.rest.strip_prefix("::") else { break };
            let stays = after.starts_with(is_ident) || after.starts_with('{');
            self.take(2);
            path.push_str("::");
            if !stays {
                break;
            }
            if self.rest.starts_with('{') {
                return self.group(&path);
            }
        }
        // A single word is a path only in a group.
        if path.contains("::") {
            self.found.push(Named { line: self.line, path });
        }
    }

    /// Takes a string up to its closing quote.
    fn string(&mut self) {
        let mut escaped = true;
        let end = self.rest.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        self.take(end.map_or(self.rest.len(), |end| end + 1));
    }

    fn group(&mut self, prefix: &str) {
        self.take(1);
        while !self.rest.is_empty() && !self.rest.starts_with('}') {
            self.step(prefix);
        }
        self.take(usize::from(!self.rest.is_empty()));
    }

    fn ident(&self) -> usize {
        self.rest.find(|c| !is_ident(c)).unwrap_or(self.rest.len())
    }

    fn take(&mut self, bytes: usize) {
        self.line += self.rest[..bytes].matches('\n').count();
        self.rest = &self.rest[bytes..];
    }
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn each_branch_of_a_use_tree_is_a_path_and_neither_comments_nor_strings_are() {
    let source = r##"use crate::{domain::{Run, run::edge}, store}; // crate::no
        let x = super::a::<T>(b::C { d }, "a::no \\\" b::no", '"', r#"a::no"b::no"#);"##;
    let found: Vec<_> = paths(source).into_iter().map(|it| (it.line, it.path)).collect();
    let expected = [
        (1, "crate::domain::Run"),
        (1, "crate::domain::run::edge"),
        (1, "crate::store"),
        (2, "super::a::"),
        (2, "b::C"),
    ];
    assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
}
