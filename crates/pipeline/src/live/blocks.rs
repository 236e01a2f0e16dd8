//! Rows on disk, sorted by key and cut into small blocks: the rows of a key lie in one or two of them.
//!
//! In memory is the key of each row, and where the blocks are. A block is one Arrow IPC message, compressed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::buffer::Buffer;
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::ipc::{CompressionType, root_as_message};

use super::chunk::compact;
use super::interleave::interleaved;
use super::scratch::Piece;
use super::tiers::Tiers;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Blocks {
    schema: SchemaRef,
    /// Key of each row, ascending.
    keys: Vec<u32>,
    blocks: Vec<Block>,
    block_rows: usize,
}

/// The columns of some rows, then what says how they lie.
#[derive(Debug)]
struct Block {
    piece: Piece,
    message_at: usize,
}

/// Where rows come from when they are written.
pub(super) enum Source {
    Memory(RecordBatch),
    Disk(Arc<Blocks>),
}

/// A row of a source. Sorted, rows are in the order of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    pub(super) key: u32,
    pub(super) source: u32,
    pub(super) row: u32,
}

impl Blocks {
    /// Writes rows in the given order, which must be sorted. Ends early, with an error, when `stop` is set.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn write(
        tiers: &Tiers,
        schema: &SchemaRef,
        sources: &[Source],
        order: &[Origin],
        stop: &AtomicBool,
    ) -> Result<Self, ArrowError> {
        let block_rows = tiers.memory.block_rows;
        let mut blocks = Vec::with_capacity(order.len().div_ceil(block_rows));
        let mut encoder = Encoder::new()?;
        let mut merge = Merge::of(schema, sources);
        for rows in order.chunks(block_rows) {
            if stop.load(Ordering::Relaxed) {
                return Err(ArrowError::ComputeError("rows are no longer needed on disk".into()));
            }
            let (bytes, message_at) = encoder.encode(&merge.rows(rows)?)?;
            blocks.push(Block { piece: tiers.scratch.write(&bytes)?, message_at });
        }
        let keys = order.iter().map(|origin| origin.key).collect();
        Ok(Self { schema: Arc::clone(schema), keys, blocks, block_rows })
    }

    /// Key of each row, ascending.
    pub(super) fn keys(&self) -> &[u32] {
        &self.keys
    }

    /// Number of blocks.
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// The rows of a key.
    pub(super) fn range(&self, key: u32) -> Range<usize> {
        let start = self.keys.partition_point(|other| *other < key);
        let end = start + self.keys[start..].partition_point(|other| *other == key);
        start..end
    }

    /// Rows that lie in a block.
    pub(super) fn rows_of(&self, block: usize) -> Range<usize> {
        let start = block * self.block_rows;
        start..(start + self.block_rows).min(self.keys.len())
    }

    /// A block, or some columns of it.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn read(
        &self,
        block: usize,
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch, ArrowError> {
        let Block { piece, message_at } = &self.blocks[block];
        let bytes = Buffer::from_vec(piece.read()?);
        let message = root_as_message(&bytes[*message_at..])
            .map_err(|error| ArrowError::IpcError(error.to_string()))?;
        let rows = message
            .header_as_record_batch()
            .ok_or_else(|| ArrowError::IpcError("a block holds no rows".into()))?;
        let schema = Arc::clone(&self.schema);
        read_record_batch(&bytes, rows, schema, &HashMap::new(), columns, &message.version())
    }

    /// Some rows, ascending; each block is read once.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn take(&self, rows: &[u32]) -> Result<Vec<RecordBatch>, ArrowError> {
        let block_of = |row: &u32| *row as usize / self.block_rows;
        rows.chunk_by(|one, other| block_of(one) == block_of(other))
            .map(|rows| {
                let block = block_of(&rows[0]);
                let start = (block * self.block_rows) as u32;
                let indices: UInt32Array = rows.iter().map(|row| Some(row - start)).collect();
                // Few rows must not hold the texts of the whole block in memory.
                compact(&take_record_batch(&self.read(block, None)?, &indices)?)
            })
            .collect()
    }
}

/// Gives rows of several sources in an order that visits each source from its first row to its last.
struct Merge<'s> {
    schema: &'s SchemaRef,
    sources: &'s [Source],
    /// The block of each source that is read now.
    open: Vec<Option<(usize, RecordBatch)>>,
}

impl<'s> Merge<'s> {
    fn of(schema: &'s SchemaRef, sources: &'s [Source]) -> Self {
        let open = sources
            .iter()
            .map(|source| match source {
                Source::Memory(rows) => Some((0, rows.clone())),
                Source::Disk(_) => None,
            })
            .collect();
        Self { schema, sources, open }
    }

    fn rows(&mut self, rows: &[Origin]) -> Result<RecordBatch, ArrowError> {
        let mut used: Vec<RecordBatch> = Vec::new();
        // Of each source: its block among the used ones.
        let mut places: HashMap<u32, (usize, usize)> = HashMap::new();
        let mut indices = Vec::with_capacity(rows.len());
        for origin in rows {
            let (source, row) = (origin.source as usize, origin.row as usize);
            let (block, row) = match &self.sources[source] {
                Source::Memory(_) => (0, row),
                Source::Disk(blocks) => (row / blocks.block_rows, row % blocks.block_rows),
            };
            let place = match places.get(&origin.source) {
                Some((known, place)) if *known == block => *place,
                _ => {
                    used.push(self.block(source, block)?);
                    places.insert(origin.source, (block, used.len() - 1));
                    used.len() - 1
                }
            };
            indices.push((place, row));
        }
        let used: Vec<&RecordBatch> = used.iter().collect();
        compact(&interleaved(self.schema, &used, &indices)?)
    }

    fn block(&mut self, source: usize, block: usize) -> Result<RecordBatch, ArrowError> {
        if let Some((open, rows)) = &self.open[source]
            && *open == block
        {
            return Ok(rows.clone());
        }
        let rows = match &self.sources[source] {
            Source::Memory(rows) => rows.clone(),
            Source::Disk(blocks) => blocks.read(block, None)?,
        };
        self.open[source] = Some((block, rows.clone()));
        Ok(rows)
    }
}

struct Encoder {
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl Encoder {
    fn new() -> Result<Self, ArrowError> {
        let options =
            IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        Ok(Self { options, context: IpcWriteContext::default() })
    }

    /// Bytes of a block, and where in them the message begins.
    fn encode(&mut self, rows: &RecordBatch) -> Result<(Vec<u8>, usize), ArrowError> {
        let (dictionaries, block) = IpcDataGenerator::default().encode(
            rows,
            &mut DictionaryTracker::new(false),
            &self.options,
            &mut self.context,
        )?;
        if !dictionaries.is_empty() {
            let what = "a live table has a column with a dictionary of its own";
            return Err(ArrowError::NotYetImplemented(what.into()));
        }
        let mut bytes = block.arrow_data;
        let message_at = bytes.len();
        bytes.extend_from_slice(&block.ipc_message);
        Ok((bytes, message_at))
    }
}
