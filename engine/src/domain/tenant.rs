//! Tenants, which own rows.

use std::fmt;
use std::sync::Arc;

/// The owner of a row. Every row carries one, and every statement of a request names one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

impl TenantId {
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The tenant of an installation that has only one.
    pub fn single() -> Self {
        Self::new("default")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
