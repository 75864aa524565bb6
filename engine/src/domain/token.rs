//! The text of tokens that clients send back: base64 with a checksum. A token that was damaged on its way is refused, and never understood
//! as another one. The checksum is no secret: a token names a position in what its sender may read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The bytes of a checksum. No accident finds another token in so many.
const CHECKSUM: usize = 8;

/// The token that `open` turns into these bytes again.
pub fn seal(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode([bytes, &checksum(bytes)].concat())
}

/// The bytes of a token. `None` if it is damaged.
pub fn open(token: &str) -> Option<Vec<u8>> {
    let mut bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let found = bytes.split_off(bytes.len().checked_sub(CHECKSUM)?);
    (found == checksum(&bytes)).then_some(bytes)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&Sha256::digest(bytes)[..CHECKSUM]);
    checksum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_is_read_back_and_each_other_letter_in_it_is_noticed(
            bytes in any::<Vec<u8>>(),
            at in any::<prop::sample::Index>(),
            letter in "[A-Za-z0-9_-]",
        ) {
            let token = seal(&bytes);
            prop_assert_eq!(open(&token), Some(bytes));
            let at = at.index(token.len());
            let mut damaged = token.clone();
            damaged.replace_range(at..=at, &letter);
            prop_assert_eq!(open(&damaged).is_some(), damaged == token);
            prop_assert_eq!(open(&token[..at]), None);
        }

        #[test]
        fn any_other_text_is_refused(token in ".*") {
            prop_assert_eq!(open(&token), None);
        }
    }
}
