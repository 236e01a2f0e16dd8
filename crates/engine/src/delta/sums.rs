//! Checksums of a table's files and commits: neither Parquet pages nor a Delta log carry any, and a flipped bit in
//! either may read as another number.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};

use super::log::{DataFile, Snapshot};
use crate::error::{EngineError, Result};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// A writer that knows the checksum of what went through it.
pub(super) struct Summed<W> {
    inner: W,
    crc: u32,
}

impl<W> Summed<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, crc: 0 }
    }

    /// The writer below and the CRC-32C of all bytes.
    pub(super) fn into_parts(self) -> (W, u32) {
        (self.inner, self.crc)
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// As a log writes it.
pub(super) fn written(crc: u32) -> String {
    format!("{crc:08x}")
}

/// As a log writes it, read.
pub(super) fn read(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

impl Snapshot {
    /// Reads every file and compares it with the checksum that the log holds of it. Files of writers that noted none
    /// are taken as they are.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] for a file that is missing or other than it was written, [`EngineError::Io`].
    pub fn verify(&self) -> Result<()> {
        self.files.iter().try_for_each(|file| self.verify_file(file))
    }

    fn verify_file(&self, file: &DataFile) -> Result<()> {
        let Some(expected) = file.crc else { return Ok(()) };
        let path = self.root.join(&file.path);
        let damaged = |what: &str| EngineError::Damaged {
            table: self.name.clone(),
            what: format!("{} {what}", path.display()),
        };
        let mut reader = match File::open(&path) {
            Ok(reader) => reader,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(damaged("is missing")),
            Err(error) => return Err(EngineError::io("read", &path)(error)),
        };
        let (mut crc, mut chunk) = (0, vec![0; CHUNK_BYTES]);
        loop {
            match reader.read(&mut chunk).map_err(EngineError::io("read", &path))? {
                0 => break,
                length => crc = crc32c::crc32c_append(crc, &chunk[..length]),
            }
        }
        if crc == expected {
            return Ok(());
        }
        Err(damaged(&format!(
            "has the checksum {}, its log says {}",
            written(crc),
            written(expected)
        )))
    }
}
