//! What an examination says.

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A server can not run like this, or breaks its promises.
    Error,
    /// It runs, and will run badly.
    Warning,
    /// It runs well, and could be better protected.
    Note,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// Its name, which stays the same when the texts change.
    pub id: &'static str,
    /// What is wrong.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// How to mend it: a statement or a flag, to the letter where that can be.
    pub mend: String,
}

/// Something that was seen, and is neither right nor wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub name: &'static str,
    pub value: String,
}

/// All that was seen.
#[derive(Debug, Clone, Default)]
pub struct Examination {
    pub facts: Vec<Fact>,
    pub findings: Vec<Finding>,
}

impl Finding {
    /// With why it matters and how to mend it.
    pub fn new(
        severity: Severity,
        id: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { severity, id, what: what.into(), why: why.into(), mend: mend.into() }
    }

    pub fn error(id: &'static str, what: impl Into<String>, why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(Severity::Error, id, what, why, mend)
    }

    pub fn warning(id: &'static str, what: impl Into<String>, why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(Severity::Warning, id, what, why, mend)
    }

    pub fn note(id: &'static str, what: impl Into<String>, why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::new(Severity::Note, id, what, why, mend)
    }
}

impl Examination {
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub fn fact(&mut self, name: &'static str, value: impl Into<String>) {
        self.facts.push(Fact { name, value: value.into() });
    }

    /// Whether this was found.
    pub fn has(&self, id: &str) -> bool {
        self.findings.iter().any(|finding| finding.id == id)
    }
}
