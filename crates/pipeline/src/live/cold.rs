//! The part of a table that lies on disk, in chunks that never change; a row that goes is marked dead.
//!
//! Chunks are written by [`ColdRows::add`], few and large. When small ones become many, or most rows of one are
//! dead, a thread makes one chunk of what lives in them, while the rows go on changing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::bits::Bits;
use super::blocks::{Blocks, Origin, Source};
use super::tiers::{LiveMemory, Tiers};

/// See the module's text.
#[derive(Debug)]
pub(super) struct ColdRows {
    schema: SchemaRef,
    tiers: Tiers,
    chunks: Vec<ColdChunk>,
    /// Keys that have rows here.
    keys: Bits,
    merging: Option<Merging>,
    last_id: u64,
}

/// Rows that were written together.
#[derive(Debug, Clone)]
pub(super) struct ColdChunk {
    id: u64,
    blocks: Arc<Blocks>,
    dead: Bits,
}

impl ColdChunk {
    fn alive(&self) -> usize {
        self.blocks.keys().len() - self.dead.count()
    }

    /// Number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The rows of a block that are not dead, or some columns of them.
    pub(super) fn living(
        &self,
        block: usize,
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch, ArrowError> {
        let rows = self.blocks.read(block, columns)?;
        if self.dead.count() == 0 {
            return Ok(rows);
        }
        let off = self.dead.off(self.blocks.rows_of(block).start, rows.num_rows());
        filter_record_batch(&rows, &off)
    }
}

/// A thread that makes one chunk of several.
#[derive(Debug)]
struct Merging {
    /// The chunks with the rows that were dead when it began.
    from: Vec<ColdChunk>,
    thread: JoinHandle<Result<Merged, ArrowError>>,
    _stop: Stop,
}

/// The new rows, and where each of them was.
type Merged = (Blocks, Vec<Origin>);

/// Tells a thread to end when nobody waits for it any more.
#[derive(Debug)]
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl ColdRows {
    pub(super) fn new(schema: SchemaRef, tiers: Tiers) -> Self {
        let (chunks, keys) = (Vec::new(), Bits::default());
        Self { schema, tiers, chunks, keys, merging: None, last_id: 0 }
    }

    /// The chunks as they are now.
    pub(super) fn chunks(&self) -> &[ColdChunk] {
        &self.chunks
    }

    /// Writes rows with the key of each; rows without a key stay out.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn add(
        &mut self,
        rows: Vec<RecordBatch>,
        keys: &[Vec<Option<u32>>],
    ) -> Result<(), ArrowError> {
        let mut order: Vec<Origin> = Vec::new();
        for (source, keys) in keys.iter().enumerate() {
            let keys = keys.iter().enumerate();
            let living = keys.filter_map(|(row, key)| {
                Some(Origin { key: (*key)?, source: source as u32, row: row as u32 })
            });
            order.extend(living);
        }
        order.sort_unstable();
        let sources: Vec<Source> = rows.into_iter().map(Source::Memory).collect();
        let never = AtomicBool::new(false);
        let blocks = Blocks::write(&self.tiers, &self.schema, &sources, &order, &never)?;
        for key in blocks.keys() {
            self.keys.set(*key as usize);
        }
        self.push(blocks, Bits::default());
        self.tidy()
    }

    fn push(&mut self, blocks: Blocks, dead: Bits) {
        self.last_id += 1;
        self.chunks.push(ColdChunk { id: self.last_id, blocks: Arc::new(blocks), dead });
    }

    /// How many rows a key has here.
    pub(super) fn count(&self, key: u32) -> usize {
        if !self.keys.get(key as usize) {
            return 0;
        }
        let living = |chunk: &ColdChunk| {
            let rows = chunk.blocks.range(key);
            rows.len() - chunk.dead.count_in(rows)
        };
        self.chunks.iter().map(living).sum()
    }

    /// Of some keys, those that have rows here, in order.
    pub(super) fn here(&self, keys: &[u32]) -> Vec<u32> {
        let mut here: Vec<u32> =
            keys.iter().copied().filter(|key| self.keys.get(*key as usize)).collect();
        here.sort_unstable();
        here.dedup();
        here
    }

    /// The rows of some keys, and the key of each row.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn gather(&self, keys: &[u32]) -> Result<(Vec<RecordBatch>, Vec<u32>), ArrowError> {
        let here = self.here(keys);
        let (mut batches, mut keys) = (Vec::new(), Vec::new());
        if here.is_empty() {
            return Ok((batches, keys));
        }
        for chunk in &self.chunks {
            let mut rows = Vec::new();
            for key in &here {
                for row in chunk.blocks.range(*key).filter(|row| !chunk.dead.get(*row)) {
                    rows.push(row as u32);
                    keys.push(*key);
                }
            }
            batches.extend(chunk.blocks.take(&rows)?);
        }
        Ok((batches, keys))
    }

    /// Marks the rows of some keys dead; gives how many there were.
    pub(super) fn remove(&mut self, keys: &[u32]) -> usize {
        let here = self.here(keys);
        let mut removed = 0;
        for key in here {
            self.keys.clear(key as usize);
            for chunk in &mut self.chunks {
                for row in chunk.blocks.range(key) {
                    removed += usize::from(chunk.dead.set(row));
                }
            }
        }
        if removed > 0 {
            self.chunks.retain(|chunk| chunk.alive() > 0);
        }
        removed
    }

    /// Takes what a merge has made in, and begins the next one where that is due.
    ///
    /// # Errors
    /// What the disk said to the merge.
    pub(super) fn tidy(&mut self) -> Result<(), ArrowError> {
        match &self.merging {
            Some(merging) if !merging.thread.is_finished() => return Ok(()),
            Some(_) => self.take_merged()?,
            None => {}
        }
        let due = self.due();
        if !due.is_empty() {
            self.begin_merge(due)?;
        }
        Ok(())
    }

    /// Chunks to be made one; none when all is well.
    fn due(&self) -> Vec<ColdChunk> {
        let LiveMemory { block_rows, merge_rows, parts, .. } = self.tiers.memory;
        let wasteful = self.chunks.iter().find(|chunk| {
            let dead = chunk.dead.count();
            dead > block_rows * 8 && dead > chunk.alive()
        });
        if let Some(chunk) = wasteful {
            return vec![chunk.clone()];
        }
        let mut small: Vec<&ColdChunk> =
            self.chunks.iter().filter(|chunk| chunk.alive() < merge_rows).collect();
        if small.len() <= parts {
            return Vec::new();
        }
        small.sort_by_key(|chunk| chunk.alive());
        let mut rows = 0;
        let few = small.into_iter().take_while(|chunk| {
            rows += chunk.alive();
            rows < merge_rows * 8
        });
        few.cloned().collect()
    }

    fn begin_merge(&mut self, from: Vec<ColdChunk>) -> Result<(), ArrowError> {
        let stop = Stop(Arc::default());
        let (chunks, schema, tiers) = (from.clone(), Arc::clone(&self.schema), self.tiers.clone());
        let stopped = Arc::clone(&stop.0);
        let work = move || merged(&chunks, &schema, &tiers, &stopped);
        let thread = std::thread::Builder::new().name("merge".into()).spawn(work);
        let thread = thread.map_err(|error| ArrowError::IoError("a thread".into(), error))?;
        self.merging = Some(Merging { from, thread, _stop: stop });
        Ok(())
    }

    /// Puts the merged chunk in the place of those it was made of.
    fn take_merged(&mut self) -> Result<(), ArrowError> {
        let Some(merging) = self.merging.take() else { return Ok(()) };
        let Merging { from, thread, _stop } = merging;
        let stopped = || ArrowError::ComputeError("the merge of rows on disk stopped".into());
        let (blocks, order) = thread.join().map_err(|_| stopped())??;
        let now: Vec<Option<&ColdChunk>> =
            from.iter().map(|old| self.chunks.iter().find(|chunk| chunk.id == old.id)).collect();
        let changed = from
            .iter()
            .zip(&now)
            .any(|(old, now)| now.is_none_or(|now| now.dead.count() != old.dead.count()));
        let mut dead = Bits::default();
        if changed {
            for (row, origin) in order.iter().enumerate() {
                // A chunk that is gone had no living row left.
                if now[origin.source as usize].is_none_or(|now| now.dead.get(origin.row as usize)) {
                    dead.set(row);
                }
            }
        }
        self.chunks.retain(|chunk| from.iter().all(|old| old.id != chunk.id));
        if dead.count() < blocks.keys().len() {
            self.push(blocks, dead);
        }
        Ok(())
    }

    /// Waits for the merge that runs.
    #[cfg(test)]
    pub(super) fn settle(&mut self) -> Result<(), ArrowError> {
        self.take_merged()
    }
}

/// One chunk of what lives in several.
fn merged(
    chunks: &[ColdChunk],
    schema: &SchemaRef,
    tiers: &Tiers,
    stop: &AtomicBool,
) -> Result<Merged, ArrowError> {
    let mut order = Vec::with_capacity(chunks.iter().map(ColdChunk::alive).sum());
    for (source, chunk) in chunks.iter().enumerate() {
        let rows = chunk.blocks.keys().iter().enumerate();
        let living = rows.filter(|(row, _)| !chunk.dead.get(*row));
        order.extend(living.map(|(row, key)| Origin {
            key: *key,
            source: source as u32,
            row: row as u32,
        }));
    }
    order.sort_unstable();
    let sources: Vec<Source> =
        chunks.iter().map(|chunk| Source::Disk(Arc::clone(&chunk.blocks))).collect();
    let blocks = Blocks::write(tiers, schema, &sources, &order, stop)?;
    Ok((blocks, order))
}
