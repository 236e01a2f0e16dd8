//! The rows of a table by key: appended and replaced a few keys at a time, read as Arrow batches.
//!
//! Rows lie in chunks that never change; a row that is replaced is marked dead in its chunk. Small chunks are
//! merged into larger ones, so that a table fed with a thousand small changes still consists of few chunks, and
//! dead rows do not pile up. When more rows are in memory than may be, the oldest chunks move to disk
//! ([`ColdRows`]); a key that changes brings its rows back.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::bits::Bits;
use super::chunk::{Chunk, compact};
use super::cold::ColdRows;
use super::interleave::interleaved;
use super::rows::nullable;
use super::tiers::{LiveMemory, Tiers};
use super::view::View;

/// Chunks below each of these row counts are merged when there are more than [`CHUNKS_MAX`] of them.
const TIERS: [usize; 4] = [512, 8_192, 131_072, 1_048_576];

/// Chunks of one tier that are let be.
const CHUNKS_MAX: usize = 12;

/// Rows of a batch that [`KeyedRows::gather`] gives.
const GATHER_ROWS: usize = 8_192;

/// Where a row in memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    chunk: u32,
    row: u32,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct KeyedRows {
    schema: SchemaRef,
    tiers: Tiers,
    /// A merged chunk leaves an empty place, which the next one takes.
    chunks: Vec<Option<Chunk>>,
    /// By key: where its rows in memory are.
    places: HashMap<u32, SmallVec<[Place; 2]>>,
    cold: ColdRows,
    rows: usize,
    /// Chunks made so far.
    made: u64,
    /// Rows that a start has read and not written yet, with their keys.
    loading: Vec<(RecordBatch, Vec<u32>)>,
}

impl KeyedRows {
    /// No rows yet. Every column may hold nulls: whether one does is a matter of the rows of one run.
    pub(super) fn new(schema: &SchemaRef, tiers: &Tiers) -> Self {
        let schema = nullable(schema);
        Self {
            cold: ColdRows::new(Arc::clone(&schema), tiers.clone()),
            schema,
            tiers: tiers.clone(),
            chunks: Vec::new(),
            places: HashMap::new(),
            rows: 0,
            made: 0,
            loading: Vec::new(),
        }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Rows that are there now.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// How many rows a key has.
    pub(super) fn count(&self, key: u32) -> usize {
        self.places(key).len() + self.cold.count(key)
    }

    /// Where the rows of a key are, those that are in memory.
    pub(super) fn places(&self, key: u32) -> &[Place] {
        self.places.get(&key).map_or(&[], |places| places.as_slice())
    }

    /// The chunk that a row is in, and its number there.
    pub(super) fn row(&self, place: Place) -> (&RecordBatch, usize) {
        match &self.chunks[place.chunk as usize] {
            Some(chunk) => (&chunk.rows, place.row as usize),
            // Places always name chunks that are there; merging moves both together.
            None => unreachable!("a row's chunk was merged without moving the row"),
        }
    }

    /// Adds rows with the key of each.
    ///
    /// # Errors
    /// What the disk says, of this and of every other step.
    pub(super) fn append(&mut self, rows: &RecordBatch, keys: Vec<u32>) -> Result<(), ArrowError> {
        self.rows += rows.num_rows();
        self.put_hot(rows, keys)?;
        self.tidy()
    }

    /// Adds rows that a start reads; they are readable after [`KeyedRows::loaded`].
    pub(super) fn load(&mut self, rows: RecordBatch, keys: Vec<u32>) -> Result<(), ArrowError> {
        self.rows += rows.num_rows();
        self.loading.push((rows, keys));
        let waiting: usize = self.loading.iter().map(|(rows, _)| rows.num_rows()).sum();
        if waiting < self.tiers.memory.load_rows { Ok(()) } else { self.write_loaded() }
    }

    /// All rows of a start have come.
    pub(super) fn loaded(&mut self) -> Result<(), ArrowError> {
        let is_large = !self.cold.chunks().is_empty();
        if is_large && !self.loading.is_empty() {
            self.write_loaded()?;
        }
        for (rows, keys) in std::mem::take(&mut self.loading) {
            self.put_hot(&rows, keys)?;
        }
        self.tidy()
    }

    fn write_loaded(&mut self) -> Result<(), ArrowError> {
        let (rows, keys): (Vec<_>, Vec<_>) = std::mem::take(&mut self.loading)
            .into_iter()
            .map(|(rows, keys)| (rows, keys.into_iter().map(Some).collect()))
            .unzip();
        self.cold.add(rows, &keys)
    }

    /// Brings the rows of some keys into memory.
    pub(super) fn warm(&mut self, keys: &[u32]) -> Result<(), ArrowError> {
        let (batches, keys) = self.cold.gather(keys)?;
        if batches.is_empty() {
            return Ok(());
        }
        self.cold.remove(&keys);
        self.put_hot(&concat_batches(&self.schema, &batches)?, keys)
    }

    /// Puts rows in the place of all rows of `gone`.
    pub(super) fn replace(
        &mut self,
        gone: &[u32],
        rows: &RecordBatch,
        keys: Vec<u32>,
    ) -> Result<(), ArrowError> {
        for key in gone {
            for place in self.places.remove(key).into_iter().flatten() {
                if let Some(chunk) = &mut self.chunks[place.chunk as usize] {
                    chunk.dead.set(place.row as usize);
                    self.rows -= 1;
                }
            }
        }
        self.rows -= self.cold.remove(gone);
        for chunk in &mut self.chunks {
            if chunk.as_ref().is_some_and(|chunk| chunk.alive() == 0) {
                *chunk = None;
            }
        }
        self.append(rows, keys)
    }

    /// Whether rows of a key are on disk.
    pub(super) fn has_cold(&self, key: u32) -> bool {
        self.cold.count(key) > 0
    }

    /// Rows of some keys. Those in memory come first, in the order of the keys.
    pub(super) fn gather(&self, keys: &[u32]) -> Result<Vec<RecordBatch>, ArrowError> {
        let mut numbers = vec![usize::MAX; self.chunks.len()];
        let mut used: Vec<&RecordBatch> = Vec::new();
        let mut indices = Vec::new();
        for key in keys {
            for place in self.places(*key) {
                let number = &mut numbers[place.chunk as usize];
                if *number == usize::MAX {
                    *number = used.len();
                    used.push(self.row(*place).0);
                }
                indices.push((*number, place.row as usize));
            }
        }
        let hot = indices.chunks(GATHER_ROWS).map(|rows| interleaved(&self.schema, &used, rows));
        let mut batches = hot.collect::<Result<Vec<_>, _>>()?;
        let (cold, _) = self.cold.gather(keys)?;
        if !cold.is_empty() {
            batches.push(concat_batches(&self.schema, &cold)?);
        }
        Ok(batches)
    }

    /// The rows as they are now; later changes do not show in it.
    pub(super) fn view(&self) -> View {
        let hot = self.chunks.iter().flatten().cloned().collect();
        View::new(self.schema(), hot, self.cold.chunks().to_vec())
    }

    fn put_hot(&mut self, rows: &RecordBatch, keys: Vec<u32>) -> Result<(), ArrowError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let number = self.put(compact(rows)?, keys);
        let keys = self.chunks[number].as_ref().map(|chunk| Arc::clone(&chunk.keys));
        for (row, key) in keys.iter().flat_map(|keys| keys.iter()).enumerate() {
            let place = Place { chunk: number as u32, row: row as u32 };
            self.places.entry(*key).or_default().push(place);
        }
        self.merge_small()
    }

    fn put(&mut self, rows: RecordBatch, keys: Vec<u32>) -> usize {
        self.made += 1;
        let (keys, dead) = (Arc::new(keys), Bits::default());
        let chunk = Some(Chunk { rows, keys, dead, born: self.made });
        match self.chunks.iter().position(Option::is_none) {
            Some(free) => {
                self.chunks[free] = chunk;
                free
            }
            None => {
                self.chunks.push(chunk);
                self.chunks.len() - 1
            }
        }
    }

    /// Moves the oldest chunks to disk when too much is in memory, and has the disk's chunks looked after.
    fn tidy(&mut self) -> Result<(), ArrowError> {
        let hot: usize = self.chunks.iter().flatten().map(Chunk::alive).sum();
        let LiveMemory { hot_rows, spill_rows, .. } = self.tiers.memory;
        if hot > hot_rows {
            // The oldest, some at a time, as events wait meanwhile; without merging chunks first, as rows that move are
            // sorted and copied anyhow.
            let mut oldest: Vec<(u64, usize, usize)> = (0..self.chunks.len())
                .filter_map(|number| Some((self.chunks[number].as_ref()?, number)))
                .filter(|(chunk, _)| chunk.alive() >= spill_rows / 8)
                .map(|(chunk, number)| (chunk.born, number, chunk.alive()))
                .collect();
            oldest.sort_unstable();
            let mut moves = 0;
            oldest.retain(|(_, _, alive)| {
                let is_needed = hot - moves > hot_rows - hot_rows / 4;
                moves += if is_needed { *alive } else { 0 };
                is_needed
            });
            if moves >= spill_rows {
                let oldest: Vec<usize> = oldest.into_iter().map(|(_, number, _)| number).collect();
                self.spill(&oldest)?;
            }
        }
        self.cold.tidy()
    }

    fn spill(&mut self, numbers: &[usize]) -> Result<(), ArrowError> {
        let chunks: Vec<Chunk> =
            numbers.iter().filter_map(|number| self.chunks[*number].take()).collect();
        for key in chunks.iter().flat_map(|chunk| chunk.keys.iter()) {
            // A place that stays names a chunk that is still there.
            if let Some(places) = self.places.get_mut(key) {
                places.retain(|place| self.chunks[place.chunk as usize].is_some());
                if places.is_empty() {
                    self.places.remove(key);
                }
            }
        }
        let keys: Vec<Vec<Option<u32>>> = chunks.iter().map(Chunk::living_keys).collect();
        self.cold.add(chunks.into_iter().map(|chunk| chunk.rows).collect(), &keys)
    }

    fn merge_small(&mut self) -> Result<(), ArrowError> {
        let mut floor = 0;
        for tier in TIERS {
            let small: Vec<usize> = (0..self.chunks.len())
                .filter(|number| {
                    self.chunks[*number]
                        .as_ref()
                        .is_some_and(|chunk| (floor..tier).contains(&chunk.alive()))
                })
                .collect();
            if small.len() > CHUNKS_MAX {
                self.merge(&small)?;
            }
            floor = tier;
        }
        let wasteful = self.chunks.iter().position(|chunk| {
            chunk.as_ref().is_some_and(|chunk| {
                let dead = chunk.dead.count();
                dead > TIERS[1] && dead > chunk.rows.num_rows() / 2
            })
        });
        match wasteful {
            Some(number) => self.merge(&[number]),
            None => Ok(()),
        }
    }

    /// Makes one chunk of the living rows of several.
    fn merge(&mut self, numbers: &[usize]) -> Result<(), ArrowError> {
        let merged: Vec<Chunk> =
            numbers.iter().filter_map(|number| self.chunks[*number].take()).collect();
        let living =
            merged.iter().map(|chunk| chunk.living(None)).collect::<Result<Vec<_>, _>>()?;
        let rows = compact(&concat_batches(&self.schema, &living)?)?;
        let mut keys = Vec::with_capacity(rows.num_rows());
        let mut moved = Vec::with_capacity(rows.num_rows());
        for (chunk, number) in merged.iter().zip(numbers) {
            for row in 0..chunk.rows.num_rows() {
                if !chunk.dead.get(row) {
                    keys.push(chunk.keys[row]);
                    moved.push(Place { chunk: *number as u32, row: row as u32 });
                }
            }
        }
        let owners = keys.clone();
        let number = self.put(rows, keys);
        if let (Some(chunk), Some(born)) =
            (&mut self.chunks[number], merged.iter().map(|chunk| chunk.born).max())
        {
            chunk.born = born;
        }
        for (row, (key, old)) in owners.iter().zip(moved).enumerate() {
            let new = Place { chunk: number as u32, row: row as u32 | MOVED };
            // A place just written may look like one still to be moved: the mark keeps them apart.
            let places = self.places.get_mut(key);
            if let Some(place) = places.and_then(|p| p.iter_mut().find(|place| **place == old)) {
                *place = new;
            }
        }
        for key in owners {
            for place in self.places.get_mut(&key).into_iter().flatten() {
                place.row &= !MOVED;
            }
        }
        Ok(())
    }
}

/// Marks a place while chunks are merged.
const MOVED: u32 = 1 << 31;

#[cfg(test)]
mod tests;
