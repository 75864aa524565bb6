//! What identifies a request or a filter: a hash of its values.
//!
//! Servers of different versions compare these hashes, in page tokens, resume tokens and request ids. So the encoding is explicit, and
//! does not depend on names in this code.

use sha2::{Digest, Sha256};

/// Collects named values. Each text is preceded by its length and each list by its number of values, so that no two identities differ
/// only in where a value ends.
#[derive(Debug, Clone)]
pub struct Identity(Sha256);

impl Identity {
    /// Begins the identity of what a method is called with.
    pub fn of(method: &str) -> Self {
        let mut identity = Self(Sha256::new());
        identity.add(method);
        identity
    }

    /// Adds the values of a field, in their order. A field that is not set has no values.
    #[must_use]
    pub fn with<T: AsRef<str>>(mut self, field: &str, values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<T> = values.into_iter().collect();
        self.add(field);
        self.0.update((values.len() as u64).to_be_bytes());
        values.iter().for_each(|value| self.add(value.as_ref()));
        self
    }

    /// Adds the values of a field whose order makes no difference.
    #[must_use]
    pub fn with_set<T: AsRef<str>>(self, field: &str, values: impl IntoIterator<Item = T>) -> Self {
        let mut values: Vec<T> = values.into_iter().collect();
        values.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        self.with(field, values)
    }

    pub fn hash(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }

    /// The hash as text, for tests that notice a change of an encoding.
    #[cfg(test)]
    pub(crate) fn hex(&self) -> String {
        self.hash().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn add(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_stays_the_same() {
        let identity = Identity::of("M").with("one", ["a", "b"]).with("none", None::<&str>).with_set("set", ["z", "y"]);
        assert_eq!(identity.hex(), "75efc158345660812ccf9a4d3b45181b7549813c4d8fbfb4b239fb3aa58bc102");
    }

    #[test]
    fn identities_differ_in_method_field_values_and_order() {
        let first = Identity::of("M").with("f", ["a", "b"]);
        assert_eq!(Identity::of("M").with("f", ["a", "b"]).hash(), first.hash());
        let others = [
            Identity::of("N").with("f", ["a", "b"]),
            Identity::of("M").with("g", ["a", "b"]),
            Identity::of("M").with("f", ["b", "a"]),
            Identity::of("M").with("f", ["ab"]),
            Identity::of("M").with("f", ["a"]).with("b", None::<&str>),
            Identity::of("M").with("f", None::<&str>),
        ];
        for other in others {
            assert_ne!(other.hash(), first.hash());
        }
    }

    #[test]
    fn the_order_in_a_set_makes_no_difference() {
        let set = |values: [&'static str; 2]| Identity::of("M").with_set("f", values).hash();
        assert_eq!(set(["a", "b"]), set(["b", "a"]));
    }
}
