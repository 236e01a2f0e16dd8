//! Splits a byte stream into numbered lines with bounded memory.

use std::io::{self, Read};

/// Bytes asked of the source at a time.
const CHUNK_BYTES: usize = 1 << 18;

/// Longest line that is read: several times the largest event GA4 can collect (200 items), and
/// short enough that a file of another kind cannot fill the memory.
pub(super) const LINE_BYTES_MAX: usize = 32 << 20;

/// Bytes of an overlong line that are kept, for the reject.
const OVERLONG_KEPT: usize = 4096;

/// UTF-8's byte order mark, which some tools put before the first line.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// One line, without its line end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: u64,
    /// Offset of its first byte in the (decompressed) text.
    pub(super) offset: u64,
    /// Its bytes; only the first few when `overlong`.
    pub(super) bytes: &'a [u8],
    /// True when it is longer than [`LINE_BYTES_MAX`].
    pub(super) overlong: bool,
}

/// Reads lines; a last line without line end counts.
pub(super) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// Unread bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Bytes after `start` known to hold no line end.
    scanned: usize,
    at_end: bool,
    /// Lines returned.
    pub(super) number: u64,
    /// Bytes of text behind the lines returned.
    pub(super) offset: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        let buffer = vec![0; CHUNK_BYTES];
        Self { source, buffer, start: 0, end: 0, scanned: 0, at_end: false, number: 0, offset: 0 }
    }

    /// The next line, or `None` at the end.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        if self.number == 0 && self.offset == 0 {
            self.skip_bom()?;
        }
        let Some(length) = self.find_line_end()? else { return Ok(None) };
        if length > LINE_BYTES_MAX {
            return self.skip_overlong().map(Some);
        }
        let (start, offset) = (self.start, self.offset);
        let has_end = length < self.end - start;
        self.take(length + usize::from(has_end));
        self.number += 1;
        let bytes = &self.buffer[start..start + length];
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Ok(Some(Line { number: self.number, offset, bytes, overlong: false }))
    }

    /// Length of the next line without its end; above the maximum as soon as that is certain.
    fn find_line_end(&mut self) -> io::Result<Option<usize>> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(found) = memchr::memchr(b'\n', &unread[self.scanned..]) {
                return Ok(Some(self.scanned + found));
            }
            self.scanned = unread.len();
            if self.scanned > LINE_BYTES_MAX {
                return Ok(Some(self.scanned));
            }
            if self.at_end {
                return Ok((self.scanned > 0).then_some(self.scanned));
            }
            self.fill()?;
        }
    }

    fn skip_overlong(&mut self) -> io::Result<Line<'_>> {
        let kept = self.buffer[self.start..self.start + OVERLONG_KEPT].to_vec();
        let offset = self.offset;
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(found) = memchr::memchr(b'\n', unread) {
                self.take(found + 1);
                break;
            }
            self.take(unread.len());
            if self.at_end {
                break;
            }
            self.fill()?;
        }
        self.number += 1;
        // The bytes were read past; the kept ones go to the head of the buffer, which is free up to
        // `start`, or, when little was left unread, into fresh room.
        if self.start < kept.len() {
            let unread = self.buffer[self.start..self.end].to_vec();
            self.buffer.resize(self.buffer.len().max(kept.len() + unread.len()), 0);
            self.start = kept.len();
            self.end = kept.len() + unread.len();
            self.buffer[self.start..self.end].copy_from_slice(&unread);
        }
        self.buffer[..kept.len()].copy_from_slice(&kept);
        let bytes = &self.buffer[..kept.len()];
        Ok(Line { number: self.number, offset, bytes, overlong: true })
    }

    fn skip_bom(&mut self) -> io::Result<()> {
        while self.end - self.start < BOM.len() && !self.at_end {
            self.fill()?;
        }
        if self.buffer[self.start..self.end].starts_with(BOM) {
            self.take(BOM.len());
        }
        Ok(())
    }

    fn take(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
        self.scanned = 0;
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.buffer.len() - self.end < CHUNK_BYTES / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.buffer.len() - self.end < CHUNK_BYTES / 2 {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(bytes) => {
                    self.end += bytes;
                    self.at_end = bytes == 0;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &[u8]) -> Vec<(u64, u64, String, bool)> {
        let mut lines = Lines::new(text);
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            let bytes = String::from_utf8_lossy(line.bytes).chars().take(6).collect();
            all.push((line.number, line.offset, bytes, line.overlong));
        }
        all
    }

    fn line(number: u64, offset: u64, text: &str) -> (u64, u64, String, bool) {
        (number, offset, text.to_owned(), false)
    }

    #[test]
    fn line_ends_of_all_kinds() {
        assert_eq!(split(b""), []);
        assert_eq!(split(b"a"), [line(1, 0, "a")]);
        assert_eq!(split(b"a\r\n\nb"), [line(1, 0, "a"), line(2, 3, ""), line(3, 4, "b")]);
        assert_eq!(split(b"\xef\xbb\xbfa\n"), [line(1, 3, "a")]);
        assert_eq!(split(b"\xef\xbb"), [line(1, 0, "\u{fffd}")]);
    }

    #[test]
    fn long_lines_grow_the_buffer_and_overlong_ones_are_cut() {
        let long = "x".repeat(3 * CHUNK_BYTES);
        let text = format!("{long}\nb\n");
        assert_eq!(split(text.as_bytes())[1], line(2, long.len() as u64 + 1, "b"));
        let overlong = "y".repeat(LINE_BYTES_MAX + 1);
        let text = format!("a\n{overlong}\nb\n{overlong}");
        let lines = split(text.as_bytes());
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[1], (2, 2, "yyyyyy".to_owned(), true));
        assert_eq!(lines[2], line(3, 3 + overlong.len() as u64, "b"));
        assert!(lines[3].3);
    }
}
