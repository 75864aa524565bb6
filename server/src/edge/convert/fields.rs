//! Checks of single fields.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proto::v1;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use engine::domain::page::PageRequest;
use engine::domain::text::{check_bytes, check_line, check_prose, excerpt};
use engine::domain::violation::Violations;
use engine::domain::{GrantKey, Lane, Limits, TraceParent};

/// The most violations that are gathered. An answer has no room for more.
const VIOLATIONS_SHOWN: usize = 100;

/// The path of a field, as in `runs[3].labels["x"]`. It becomes text only if the field is wrong.
#[derive(Debug, Clone, Copy)]
pub enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'static str),
    Index(&'a Path<'a>, usize),
    Key(&'a Path<'a>, &'a str),
}

impl<'a> Path<'a> {
    pub fn field(&'a self, name: &'static str) -> Path<'a> {
        Path::Field(self, name)
    }

    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }

    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, name) => f.write_str(name),
            Path::Field(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Key(parent, key) => write!(f, "{parent}[{}]", excerpt(key)),
        }
    }
}

/// Checks fields one after the other, and gathers all violations. A harmless value stands in for a bad field, so that the rest
/// can be checked too. [`Fields::finish`] returns the whole only if there is no violation.
#[derive(Debug)]
pub struct Fields<'l> {
    pub limits: &'l Limits,
    violations: Violations,
}

impl<'l> Fields<'l> {
    pub fn new(limits: &'l Limits) -> Self {
        Self { limits, violations: Violations::default() }
    }

    /// The value, if there is no violation.
    pub fn finish<T>(self, value: T) -> Result<T, Violations> {
        self.violations.into_result(value)
    }

    /// Adds a violation of a field.
    pub fn bad(&mut self, path: Path<'_>, why: impl Into<String>) {
        if self.violations.0.len() < VIOLATIONS_SHOWN {
            self.violations.add(path.to_string(), why);
        }
    }

    /// Adds a violation if a check has failed.
    pub fn check(&mut self, path: Path<'_>, result: Result<(), String>) {
        if let Err(why) = result {
            self.bad(path, why);
        }
    }

    /// A field that must be set.
    pub fn required<T>(&mut self, path: Path<'_>, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.bad(path, "required, and not given");
        }
        value
    }

    /// An id that must be given: a UUID with hyphens, and not nil.
    pub fn id(&mut self, path: Path<'_>, text: &str) -> Uuid {
        match text.parse::<Hyphenated>().map(Uuid::from) {
            Ok(id) if !id.is_nil() => return id,
            Ok(_) => self.bad(path, "expected an id, got the nil UUID"),
            Err(_) if text.is_empty() => self.bad(path, "required, and not given"),
            Err(_) => self.bad(path, format!("expected an id (a UUID), got {}", excerpt(text))),
        }
        Uuid::nil()
    }

    /// An id; `None` if it is empty.
    pub fn optional_id(&mut self, path: Path<'_>, text: &str) -> Option<Uuid> {
        (!text.is_empty()).then(|| self.id(path, text))
    }

    /// Text on one line, of `min` to `max` characters.
    pub fn line(&mut self, path: Path<'_>, text: String, min: usize, max: usize) -> String {
        self.check(path, check_line(&text, min, max));
        text
    }

    /// Text of several lines.
    pub fn prose(&mut self, path: Path<'_>, text: String, max: usize) -> String {
        self.check(path, check_prose(&text, max));
        text
    }

    /// Any text that the database can keep.
    pub fn bytes(&mut self, path: Path<'_>, text: String, max: usize) -> String {
        self.check(path, check_bytes(&text, max));
        text
    }

    pub fn name(&mut self, path: Path<'_>, text: String) -> String {
        self.line(path, text, 1, self.limits.name)
    }

    pub fn kind(&mut self, path: Path<'_>, text: String) -> String {
        self.line(path, text, 1, self.limits.kind)
    }

    pub fn kinds(&mut self, path: Path<'_>, kinds: Vec<String>) -> BTreeSet<String> {
        self.at_most(path, kinds.len(), self.limits.kinds);
        for (index, kind) in kinds.iter().enumerate() {
            self.check(path.index(index), check_line(kind, 1, self.limits.kind));
        }
        kinds.into_iter().collect()
    }

    /// A request id; `None` if it is empty.
    pub fn request_id(&mut self, path: Path<'_>, text: String) -> Option<String> {
        (!text.is_empty()).then(|| self.line(path, text, 1, self.limits.request_id))
    }

    /// A W3C `traceparent`; `None` if it is empty.
    pub fn traceparent(&mut self, path: Path<'_>, text: &str) -> Option<TraceParent> {
        let parent = TraceParent::parse(text);
        if parent.is_none() && !text.is_empty() {
            let got = excerpt(text);
            self.bad(path, format!("expected a W3C traceparent, as 00-TRACE-SPAN-01 in lower-case digits, got {got}"));
        }
        parent
    }

    pub fn labels(&mut self, path: Path<'_>, labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
        self.at_most(path, labels.len(), self.limits.labels);
        for (key, value) in &labels {
            let entry = path.key(key);
            if let Err(why) = check_line(key, 1, self.limits.label_key) {
                self.bad(entry, format!("as a key, {why}"));
            }
            self.check(entry, check_line(value, 0, self.limits.label_value));
        }
        labels
    }

    /// Adds a violation if a list has more than `max` entries.
    pub fn at_most(&mut self, path: Path<'_>, length: usize, max: usize) {
        if length > max {
            self.bad(path, format!("expected at most {max} entries, got {length}"));
        }
    }

    /// A number from `min` to `max`.
    pub fn number(&mut self, path: Path<'_>, value: i64, min: i64, max: i64) -> i64 {
        if !(min..=max).contains(&value) {
            self.bad(path, format!("expected {min} to {max}, got {value}"));
        }
        value
    }

    pub fn lane(&mut self, path: Path<'_>, value: i32) -> Lane {
        match v1::Lane::try_from(value) {
            Ok(v1::Lane::A) => return Lane::A,
            Ok(v1::Lane::B) => return Lane::B,
            Ok(v1::Lane::C) => return Lane::C,
            Ok(v1::Lane::D) => return Lane::D,
            Ok(v1::Lane::Unspecified) => self.bad(path, "expected a lane, got LANE_UNSPECIFIED"),
            Err(_) => self.bad(path, format!("expected a lane, got the unknown number {value}")),
        }
        Lane::A
    }

    pub fn lanes(&mut self, path: Path<'_>, values: &[i32]) -> BTreeSet<Lane> {
        values.iter().enumerate().map(|(index, value)| self.lane(path.index(index), *value)).collect()
    }

    /// The key of a grant.
    pub fn grant(&mut self, path: Path<'_>, run_id: &str, fence: i64) -> GrantKey {
        GrantKey { run_id: self.id(path.field("run_id"), run_id), fence: self.fence(path.field("fence"), fence) }
    }

    /// A fence. The first grant of a run has fence 1.
    pub fn fence(&mut self, path: Path<'_>, fence: i64) -> i64 {
        if fence < 1 {
            self.bad(path, format!("expected a fence of at least 1, got {fence}"));
        }
        fence
    }

    /// Keys of grants, each once, in the order in which rows are locked.
    pub fn grants(&mut self, path: Path<'_>, named: &[v1::Lease]) -> Vec<GrantKey> {
        let mut grants: Vec<GrantKey> = named
            .iter()
            .enumerate()
            .map(|(index, grant)| self.grant(path.index(index), &grant.run_id, grant.fence))
            .collect();
        grants.sort_unstable();
        grants.dedup();
        grants
    }

    /// `page_size` and `page_token` of a list. The size 0 means the default.
    pub fn page(&mut self, path: Path<'_>, size: i32, token: String) -> PageRequest {
        if size < 0 {
            self.bad(path.field("page_size"), format!("expected 0 or more, got {size}"));
        }
        let size = match i64::from(size) {
            0 => self.limits.page_default,
            size => size.clamp(1, self.limits.page_max),
        };
        PageRequest { size, token }
    }
}

/// The id in a request that has no other field.
pub fn single_id(field: &'static str, text: &str) -> Result<Uuid, Violations> {
    let limits = Limits::default();
    let mut fields = Fields::new(&limits);
    let id = fields.id(Path::Root.field(field), text);
    fields.finish(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_dotted_and_keys_in_them_are_short() {
        let runs = Path::Root.field("runs");
        let run = runs.index(3);
        let labels = run.field("labels");
        assert_eq!(labels.key("x").to_string(), r#"runs[3].labels["x"]"#);
        assert!(labels.key(&"x".repeat(10_000)).to_string().len() < 100);
    }

    #[test]
    fn ids_are_uuids_with_hyphens_and_not_nil() {
        let limits = Limits::default();
        let mut fields = Fields::new(&limits);
        fields.id(Path::Root.field("good"), "01980000-0000-7000-8000-000000000001");
        let bad = [
            "",
            "00000000-0000-0000-0000-000000000000",
            "0198000000007000800000000000001",
            "{01980000-0000-7000-8000-000000000001}",
            "' OR 1=1 --",
        ];
        for text in bad {
            fields.id(Path::Root.field("bad"), text);
        }
        let violations = fields.finish(()).expect_err("bad ids").0;
        assert_eq!(violations.len(), bad.len());
        assert!(violations.iter().all(|violation| violation.field == "bad"));
    }

    #[test]
    fn unknown_and_unset_lanes_are_refused() {
        let limits = Limits::default();
        let mut fields = Fields::new(&limits);
        assert_eq!(fields.lanes(Path::Root.field("lanes"), &[2, 1, 2]), BTreeSet::from([Lane::A, Lane::B]));
        fields.lanes(Path::Root.field("lanes"), &[0, 9]);
        let violations = fields.finish(()).expect_err("bad lanes").0;
        assert_eq!(violations.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(), ["lanes[0]", "lanes[1]"]);
    }

    #[test]
    fn a_page_size_is_bounded() {
        let limits = Limits::default();
        let page = |size| {
            let mut fields = Fields::new(&limits);
            let page = fields.page(Path::Root, size, String::new());
            fields.finish(page.size)
        };
        assert_eq!(page(0), Ok(50));
        assert_eq!(page(7), Ok(7));
        assert_eq!(page(i32::MAX), Ok(1_000));
        assert!(page(-1).is_err_and(|violations| violations.0[0].field == "page_size"));
    }

    #[test]
    fn labels_are_bounded_in_number_and_length() {
        let limits = Limits::default();
        let many = |count: usize| (0..count).map(|n| (format!("k{n}"), String::new())).collect::<BTreeMap<_, _>>();
        let check = |labels| {
            let mut fields = Fields::new(&limits);
            fields.labels(Path::Root.field("labels"), labels);
            fields.finish(())
        };
        assert_eq!(check(many(32)), Ok(()));
        assert!(check(many(33)).is_err());
        for (key, value) in
            [("", "v"), (&*"k".repeat(64), "v"), ("k", &*"v".repeat(256)), ("k\n", "v"), ("k", "\u{202E}")]
        {
            assert!(check(BTreeMap::from([(key.to_owned(), value.to_owned())])).is_err(), "{key:?} {value:?}");
        }
    }
}
