//! A column of md5 digests as text: the keys of events, sessions, touches and conversions.

use arrow::array::{StringViewArray, StringViewBuilder};

use super::md5_lanes::Waiting;

/// Texts that wait for each other's digests: few enough for a core's cache.
const TOGETHER: usize = 256;

/// See the module's text.
pub(super) struct Digests {
    column: StringViewBuilder,
    waiting: Waiting,
    /// Rows of each text that waits.
    rows: Vec<usize>,
}

impl Digests {
    /// No rows yet.
    pub(super) fn with_capacity(rows: usize) -> Self {
        let column = StringViewBuilder::with_capacity(rows);
        Self { column, waiting: Waiting::default(), rows: Vec::new() }
    }

    /// Where the next row's text is appended.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        if self.rows.len() == TOGETHER {
            self.write();
        }
        self.waiting.text()
    }

    /// Ends the text that was appended.
    pub(super) fn finish(&mut self) {
        self.waiting.finish();
        self.rows.push(1);
    }

    /// Gives the next row the digest of the row before it.
    pub(super) fn repeat(&mut self) {
        if let Some(rows) = self.rows.last_mut() {
            *rows += 1;
        }
    }

    /// The digests in lower-case hexadecimal digits.
    pub(super) fn column(mut self) -> StringViewArray {
        self.write();
        self.column.finish()
    }

    fn write(&mut self) {
        for (digest, rows) in self.waiting.digests().iter().zip(self.rows.drain(..)) {
            let digits = hex(digest);
            // Only ever ASCII digits.
            let text = std::str::from_utf8(&digits).unwrap_or_default();
            for _ in 0..rows {
                self.column.append_value(text);
            }
        }
    }
}

/// Lower-case hexadecimal digits of a digest.
fn hex(digest: &[u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'0'; 32];
    for (index, byte) in digest.iter().enumerate() {
        text[2 * index] = DIGITS[usize::from(byte >> 4)];
        text[2 * index + 1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use md5::{Digest, Md5};

    use super::*;

    #[test]
    fn rows_keep_their_order() {
        // More than wait together, some of them several times.
        let mut digests = Digests::with_capacity(0);
        let mut expected = Vec::new();
        for row in 0..3 * TOGETHER {
            let text = row.to_string().repeat(row % 40);
            let digest = format!("{:x}", Md5::digest(&text));
            digests.text().extend_from_slice(text.as_bytes());
            digests.finish();
            expected.push(digest.clone());
            for _ in 0..row % 3 {
                digests.repeat();
                expected.push(digest.clone());
            }
        }
        let column = digests.column();
        assert_eq!(column.iter().flatten().collect::<Vec<_>>(), expected);
        assert!(Digests::with_capacity(1).column().is_empty());
    }
}
