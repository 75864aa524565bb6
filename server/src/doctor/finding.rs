//! The result of an examination.

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A server can not run like this, or can not keep its promises.
    Error,
    /// A server runs, but will run badly.
    Warning,
    /// A server runs well, but could be better protected.
    Note,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// A stable name, which does not change with the texts.
    pub id: &'static str,
    /// What is wrong.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// How to mend it: the exact statement or flag, where there is one.
    pub mend: String,
}

/// Something that is neither right nor wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub name: &'static str,
    pub value: String,
}

/// All facts and findings.
#[derive(Debug, Clone, Default)]
pub struct Examination {
    pub facts: Vec<Fact>,
    pub findings: Vec<Finding>,
}

impl Finding {
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

    /// Whether there is a finding with this name.
    pub fn has(&self, id: &str) -> bool {
        self.findings.iter().any(|finding| finding.id == id)
    }
}
