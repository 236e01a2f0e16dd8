//! How much of the live tables is in memory.

use std::path::Path;
use std::sync::Arc;

use super::scratch::Scratch;
use crate::error::{PipelineError, Result};

/// How many rows of each live table are in memory, and how the others lie on disk.
#[derive(Debug, Clone, Copy)]
pub struct LiveMemory {
    /// Rows of a table in memory; when there are more, those that did not change for longest move to disk.
    pub hot_rows: usize,
    /// Rows that are worth a move.
    pub spill_rows: usize,
    /// Rows that a start sorts and writes together.
    pub load_rows: usize,
    /// Rows of a block, the least that is read from disk.
    pub block_rows: usize,
    /// Parts on disk with fewer rows are made one when there are more than `parts` of them.
    pub merge_rows: usize,
    /// See `merge_rows`.
    pub parts: usize,
}

impl Default for LiveMemory {
    fn default() -> Self {
        Self {
            hot_rows: 400_000,
            spill_rows: 65_536,
            load_rows: 500_000,
            block_rows: 1_024,
            merge_rows: 500_000,
            parts: 12,
        }
    }
}

/// The same with the file that rows move to.
#[derive(Debug, Clone)]
pub(super) struct Tiers {
    pub(super) scratch: Arc<Scratch>,
    pub(super) memory: LiveMemory,
}

impl Tiers {
    /// Makes the file in a folder.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(dir: &Path, memory: LiveMemory) -> Result<Self> {
        let scratch = Scratch::open(dir).map_err(PipelineError::io("keep live rows in", dir))?;
        Ok(Self { scratch, memory })
    }
}
