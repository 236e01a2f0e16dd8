//! Keys: md5 over length-prefixed parts, so that no two lists of parts render alike `[2.19]`.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};

use super::Text;

/// Renders parts as `<byte length>:<text>`, a missing one as `-`, and concatenates them.
#[must_use]
pub fn rendered(parts: &[Option<&str>]) -> String {
    let mut text = String::new();
    for part in parts {
        push_part(&mut text, *part);
    }
    text
}

/// Appends one part to a rendering.
pub(super) fn push_part(text: &mut String, part: Option<&str>) {
    match part {
        Some(part) => {
            // Writing to a String cannot fail.
            let _ = write!(text, "{}:{part}", part.len());
        }
        None => text.push('-'),
    }
}

/// The md5 of `text` as 32 lower-case hexadecimal digits.
#[must_use]
pub fn md5_hex(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = String::with_capacity(32);
    for byte in Md5::digest(text) {
        hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
        hex.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    hex
}

/// The key of a list of parts: [`md5_hex`] of [`rendered`].
#[must_use]
pub fn key_of(parts: &[Option<&str>]) -> Text {
    md5_hex(&rendered(parts)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [2.19] Concatenation alone would confuse these.
    #[test]
    fn parts_never_run_together() {
        assert_eq!(rendered(&[Some("ab"), None, Some("")]), "2:ab-0:");
        assert_ne!(rendered(&[Some("a"), Some("bc")]), rendered(&[Some("ab"), Some("c")]));
        assert_eq!(rendered(&[Some("é")]), "2:é");
    }

    #[test]
    fn md5_is_the_known_one() {
        assert_eq!(md5_hex(""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(md5_hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
    }
}
