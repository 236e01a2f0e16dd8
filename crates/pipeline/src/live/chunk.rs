//! Rows in memory that lie together and never change; a row that goes is marked dead.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;

use super::bits::Bits;

/// Rows in memory.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) rows: RecordBatch,
    /// Key of each row.
    pub(super) keys: Arc<Vec<u32>>,
    pub(super) dead: Bits,
    /// Later chunks have greater ones.
    pub(super) born: u64,
}

impl Chunk {
    /// Rows that are not dead.
    pub(super) fn alive(&self) -> usize {
        self.rows.num_rows() - self.dead.count()
    }

    /// The rows that are not dead, or some columns of them.
    pub(super) fn living(&self, columns: Option<&[usize]>) -> Result<RecordBatch, ArrowError> {
        let rows = match columns {
            Some(columns) => self.rows.project(columns)?,
            None => self.rows.clone(),
        };
        if self.dead.count() == 0 {
            return Ok(rows);
        }
        filter_record_batch(&rows, &self.dead.off(0, rows.num_rows()))
    }

    /// The key of each row, none for a dead one.
    pub(super) fn living_keys(&self) -> Vec<Option<u32>> {
        let keys = self.keys.iter().enumerate();
        keys.map(|(row, key)| (!self.dead.get(row)).then_some(*key)).collect()
    }
}

/// Copies texts together that are views into buffers of other rows, which would all stay in memory.
pub(super) fn compact(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = rows
        .columns()
        .iter()
        .map(|column| match column.as_string_view_opt() {
            Some(texts) if !texts.data_buffers().is_empty() => Arc::new(texts.gc()) as ArrayRef,
            _ => Arc::clone(column),
        })
        .collect();
    RecordBatch::try_new(rows.schema(), columns)
}
