//! Rows in memory by key: appended and replaced a few keys at a time, read as Arrow batches.
//!
//! Rows lie in chunks that never change; a row that is replaced is marked dead in its chunk. Small chunks are
//! merged into larger ones, so that a table fed with a thousand small changes still consists of few chunks, and
//! dead rows do not pile up.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat_batches, filter_record_batch, interleave_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use smallvec::SmallVec;

/// Chunks below each of these row counts are merged when there are more than [`CHUNKS_MAX`] of them.
const TIERS: [usize; 4] = [512, 8_192, 131_072, 1_048_576];

/// Chunks of one tier that are let be.
const CHUNKS_MAX: usize = 12;

/// Rows of a batch that [`KeyedRows::gather`] gives.
const GATHER_ROWS: usize = 8_192;

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    chunk: u32,
    row: u32,
}

#[derive(Debug, Clone)]
struct Chunk {
    rows: RecordBatch,
    /// Key of each row.
    keys: Arc<Vec<u32>>,
    /// One bit a row; shared with readers, copied when it changes under them.
    dead: Arc<Vec<u64>>,
    dead_count: usize,
}

impl Chunk {
    fn is_dead(&self, row: usize) -> bool {
        self.dead[row / 64] >> (row % 64) & 1 == 1
    }

    fn alive(&self) -> usize {
        self.rows.num_rows() - self.dead_count
    }

    /// The rows that are not dead.
    fn living(&self) -> Result<RecordBatch, ArrowError> {
        if self.dead_count == 0 {
            return Ok(self.rows.clone());
        }
        let bits = BooleanBuffer::collect_bool(self.rows.num_rows(), |row| !self.is_dead(row));
        filter_record_batch(&self.rows, &BooleanArray::new(bits, None))
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct KeyedRows {
    schema: SchemaRef,
    /// A merged chunk leaves an empty place, which the next one takes.
    chunks: Vec<Option<Chunk>>,
    /// By key: where its rows are.
    places: Vec<SmallVec<[Place; 2]>>,
    rows: usize,
}

/// The rows of a table at one moment.
#[derive(Debug, Clone)]
pub(crate) struct View {
    schema: SchemaRef,
    chunks: Vec<Chunk>,
}

impl View {
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The rows as batches.
    pub(super) fn batches(&self) -> Result<Vec<RecordBatch>, ArrowError> {
        self.chunks.iter().map(Chunk::living).collect()
    }
}

impl KeyedRows {
    /// No rows yet. Every column may hold nulls: whether one does is a matter of the rows of one run.
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self { schema: nullable(schema), chunks: Vec::new(), places: Vec::new(), rows: 0 }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Rows that are there now.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// Bytes that the rows and what finds them hold.
    pub(super) fn bytes(&self) -> usize {
        let chunks: usize = self
            .chunks
            .iter()
            .flatten()
            .map(|chunk| {
                chunk.rows.get_array_memory_size() + chunk.keys.len() * 4 + chunk.dead.len() * 8
            })
            .sum();
        let places: usize = self
            .places
            .iter()
            .map(|places| {
                std::mem::size_of_val(places)
                    + if places.spilled() { places.capacity() * size_of::<Place>() } else { 0 }
            })
            .sum();
        chunks + places
    }

    /// Where the rows of a key are.
    pub(super) fn places(&self, key: u32) -> &[Place] {
        self.places.get(key as usize).map_or(&[], |places| places.as_slice())
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
    pub(super) fn append(&mut self, rows: &RecordBatch, keys: Vec<u32>) -> Result<(), ArrowError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let number = self.put(compact(rows)?, keys);
        let chunk = self.chunks[number].as_ref().map(|chunk| Arc::clone(&chunk.keys));
        for (row, key) in chunk.iter().flat_map(|keys| keys.iter()).enumerate() {
            let key = *key as usize;
            if key >= self.places.len() {
                self.places.resize_with((key + 1).next_power_of_two(), SmallVec::new);
            }
            self.places[key].push(Place { chunk: number as u32, row: row as u32 });
        }
        self.rows += rows.num_rows();
        self.merge_small()
    }

    /// Puts rows in the place of all rows of `gone`.
    pub(super) fn replace(
        &mut self,
        gone: &[u32],
        rows: &RecordBatch,
        keys: Vec<u32>,
    ) -> Result<(), ArrowError> {
        for key in gone {
            let Some(places) = self.places.get_mut(*key as usize) else { continue };
            for place in std::mem::take(places) {
                if let Some(chunk) = &mut self.chunks[place.chunk as usize] {
                    let row = place.row as usize;
                    Arc::make_mut(&mut chunk.dead)[row / 64] |= 1 << (row % 64);
                    chunk.dead_count += 1;
                    self.rows -= 1;
                }
            }
        }
        for chunk in &mut self.chunks {
            if chunk.as_ref().is_some_and(|chunk| chunk.alive() == 0) {
                *chunk = None;
            }
        }
        self.append(rows, keys)
    }

    /// Rows of some keys, key by key.
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
        indices.chunks(GATHER_ROWS).map(|indices| interleave_record_batch(&used, indices)).collect()
    }

    /// The rows as they are now; later changes do not show in it.
    pub(super) fn view(&self) -> View {
        View { schema: self.schema(), chunks: self.chunks.iter().flatten().cloned().collect() }
    }

    fn put(&mut self, rows: RecordBatch, keys: Vec<u32>) -> usize {
        let dead = Arc::new(vec![0u64; rows.num_rows().div_ceil(64)]);
        let chunk = Some(Chunk { rows, keys: Arc::new(keys), dead, dead_count: 0 });
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
                chunk.dead_count > TIERS[1] && chunk.dead_count > chunk.rows.num_rows() / 2
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
        let living = merged.iter().map(Chunk::living).collect::<Result<Vec<_>, _>>()?;
        let rows = compact(&concat_batches(&self.schema, &living)?)?;
        let mut keys = Vec::with_capacity(rows.num_rows());
        let mut moved = Vec::with_capacity(rows.num_rows());
        for (chunk, number) in merged.iter().zip(numbers) {
            for row in 0..chunk.rows.num_rows() {
                if !chunk.is_dead(row) {
                    keys.push(chunk.keys[row]);
                    moved.push(Place { chunk: *number as u32, row: row as u32 });
                }
            }
        }
        let owners = keys.clone();
        let number = self.put(rows, keys);
        for (row, (key, old)) in owners.into_iter().zip(moved).enumerate() {
            let new = Place { chunk: number as u32, row: row as u32 | MOVED };
            // A place just written may look like one still to be moved: the mark keeps them apart.
            if let Some(place) = self.places[key as usize].iter_mut().find(|place| **place == old) {
                *place = new;
            }
        }
        let keys = self.chunks[number].as_ref().map(|chunk| Arc::clone(&chunk.keys));
        for key in keys.iter().flat_map(|keys| keys.iter()) {
            for place in &mut self.places[*key as usize] {
                place.row &= !MOVED;
            }
        }
        Ok(())
    }
}

/// Marks a place while chunks are merged.
const MOVED: u32 = 1 << 31;

/// The schema with every column nullable.
pub(super) fn nullable(schema: &SchemaRef) -> SchemaRef {
    if schema.fields().iter().all(|field| field.is_nullable()) {
        return Arc::clone(schema);
    }
    let fields: Vec<_> =
        schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    Arc::new(Schema::new(fields))
}

/// Copies texts together that are views into buffers of other rows, which would all stay in memory.
fn compact(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{Int64Array, StringViewArray};
    use arrow::datatypes::{DataType, Field, Int64Type};
    use proptest::prelude::*;

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("value", DataType::Int64, true),
            Field::new("text", DataType::Utf8View, true),
        ]))
    }

    fn batch(values: &[i64]) -> RecordBatch {
        let texts = values.iter().map(|value| format!("a text of more than twelve bytes {value}"));
        RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(Int64Array::from(values.to_vec())),
                Arc::new(StringViewArray::from_iter_values(texts)),
            ],
        )
        .unwrap()
    }

    fn values(batches: &[RecordBatch]) -> Vec<i64> {
        let mut values: Vec<i64> = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        values.sort_unstable();
        values
    }

    #[derive(Debug, Clone)]
    struct Change {
        replaces: bool,
        rows: Vec<(u32, i64)>,
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let row = (0u32..40, any::<i64>());
        let change = (any::<bool>(), prop::collection::vec(row, 0..30))
            .prop_map(|(replaces, rows)| Change { replaces, rows });
        prop::collection::vec(change, 1..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever was appended, replaced and merged, each key has the rows that a plain map has.
        #[test]
        fn behaves_like_a_map(changes in changes()) {
            let mut model: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
            let mut rows = KeyedRows::new(&schema());
            let early = rows.view();
            for change in changes {
                let keys: Vec<u32> = change.rows.iter().map(|(key, _)| *key).collect();
                let new = batch(&change.rows.iter().map(|(_, value)| *value).collect::<Vec<_>>());
                if change.replaces {
                    keys.iter().for_each(|key| { model.remove(key); });
                    rows.replace(&keys, &new, keys.clone()).unwrap();
                } else {
                    rows.append(&new, keys).unwrap();
                }
                for (key, value) in change.rows {
                    model.entry(key).or_default().push(value);
                }
                let mut all: Vec<i64> = model.values().flatten().copied().collect();
                all.sort_unstable();
                prop_assert_eq!(values(&rows.view().batches().unwrap()), all);
                prop_assert_eq!(rows.len(), model.values().map(Vec::len).sum::<usize>());
            }
            for (key, expected) in &model {
                let mut expected = expected.clone();
                expected.sort_unstable();
                prop_assert_eq!(values(&rows.gather(&[*key]).unwrap()), expected);
            }
            prop_assert!(values(&early.batches().unwrap()).is_empty());
        }
    }

    #[test]
    fn many_small_changes_leave_few_chunks() {
        let mut rows = KeyedRows::new(&schema());
        for round in 0..2_000 {
            rows.replace(&[round % 50], &batch(&[i64::from(round)]), vec![round % 50]).unwrap();
        }
        assert_eq!(rows.len(), 50);
        assert!(rows.chunks.iter().flatten().count() <= TIERS.len() * (CHUNKS_MAX + 1));
    }
}
