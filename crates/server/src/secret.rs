//! Secrets: only their hashes are kept, and compared in constant time.

use std::fmt;
use std::fmt::Write;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// How many secrets of one kind may be active: the one in use and its successor, while clients
/// change over.
pub const ACTIVE_SECRETS: usize = 2;

/// Shorter secrets could be guessed.
pub const SECRET_CHARS_MIN: usize = 16;

/// The SHA-256 of a secret.
///
/// Not salted: a secret is long and random, so nobody has a table of hashes for it.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of a secret; `None` when it has fewer than [`SECRET_CHARS_MIN`] characters.
    pub fn of(secret: &str) -> Option<Self> {
        (secret.chars().count() >= SECRET_CHARS_MIN).then(|| Self::digest(secret.as_bytes()))
    }

    /// Reads 64 hexadecimal digits, with or without `sha256:` in front.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }

    /// `sha256:` and 64 hexadecimal digits, as a settings file holds it.
    pub fn to_hex(self) -> String {
        self.0.iter().fold("sha256:".to_owned(), |mut text, byte| {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    pub(crate) fn digest(presented: &[u8]) -> Self {
        Self(Sha256::digest(presented).into())
    }
}

/// Even a hash has no place in a log.
impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// Which of `active` was presented. All of them are compared, so that the time says nothing.
pub(crate) fn find(active: &[SecretHash], presented: &[u8]) -> Option<usize> {
    let presented = SecretHash::digest(presented);
    let mut found = None;
    for (at, hash) in active.iter().enumerate() {
        let same: Choice = hash.0.ct_eq(&presented.0);
        if same.into() {
            found = Some(at);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    #[test]
    fn hex_there_and_back() {
        let hash = SecretHash::of(SECRET).unwrap();
        let text = hash.to_hex();
        assert_eq!(SecretHash::from_hex(&text).unwrap().0, hash.0);
        assert_eq!(SecretHash::from_hex(&text["sha256:".len()..]).unwrap().0, hash.0);
        assert!(SecretHash::from_hex(&text[1..]).is_none());
        assert!(SecretHash::from_hex(&"+1".repeat(32)).is_none());
        // What `printf 0123456789abcdef | sha256sum` prints.
        assert!(
            text.starts_with("sha256:9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e56")
        );
    }

    #[test]
    fn short_secrets_are_none() {
        assert!(SecretHash::of("0123456789abcde").is_none());
        assert!(SecretHash::of("").is_none());
    }

    #[test]
    fn either_active_secret_is_found_and_no_other() {
        let active = [SecretHash::of(SECRET).unwrap(), SecretHash::of("fedcba9876543210").unwrap()];
        assert_eq!(find(&active, SECRET.as_bytes()), Some(0));
        assert_eq!(find(&active, b"fedcba9876543210"), Some(1));
        assert_eq!(find(&active, b"fedcba987654321"), None);
        assert_eq!(find(&[], SECRET.as_bytes()), None);
        assert!(!format!("{active:?}").contains("9f9f"));
    }
}
