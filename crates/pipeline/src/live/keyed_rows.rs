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

    /// Rows of some keys.
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
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use clicktrail_engine::datafusion::Feed as _;
    use proptest::prelude::*;

    use super::super::tiers::LiveMemory;
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

    /// Everything in memory, or as much as can be on disk.
    fn tiers(dir: &std::path::Path, is_small: bool) -> Tiers {
        let small = LiveMemory {
            hot_rows: 20,
            spill_rows: 5,
            load_rows: 16,
            block_rows: 4,
            merge_rows: 30,
            parts: 2,
        };
        Tiers::open(dir, if is_small { small } else { LiveMemory::default() }).unwrap()
    }

    fn all(view: &View) -> Vec<i64> {
        values(&view.batches().collect::<Result<Vec<_>, _>>().unwrap())
    }

    /// As a query reads them: in parts, one column only.
    fn parts(view: &View) -> Vec<i64> {
        let columns = ["value".to_owned()];
        let parts = (0..view.partitions()).flat_map(|part| view.read(part, &columns).unwrap());
        values(&parts.collect::<Result<Vec<_>, _>>().unwrap())
    }

    #[derive(Debug, Clone)]
    enum Change {
        Append(Vec<(u32, i64)>),
        Replace(Vec<(u32, i64)>),
        Warm(Vec<u32>),
        /// The merge that runs is waited for.
        Settle,
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let rows = || prop::collection::vec((0u32..40, any::<i64>()), 0..30);
        let change = prop_oneof![
            4 => rows().prop_map(Change::Append),
            4 => rows().prop_map(Change::Replace),
            2 => prop::collection::vec(0u32..50, 0..5).prop_map(Change::Warm),
            1 => Just(Change::Settle),
        ];
        prop::collection::vec(change, 1..120)
    }

    type Model = BTreeMap<u32, Vec<i64>>;

    fn change(rows: &mut KeyedRows, model: &mut Model, change: Change) {
        let apart = |rows: &[(u32, i64)]| -> (Vec<u32>, RecordBatch) {
            let (keys, values): (Vec<u32>, Vec<i64>) = rows.iter().copied().unzip();
            (keys, batch(&values))
        };
        let new = match change {
            Change::Append(new) => {
                let (keys, batch) = apart(&new);
                rows.append(&batch, keys).unwrap();
                new
            }
            Change::Replace(new) => {
                let (keys, batch) = apart(&new);
                keys.iter().for_each(|key| {
                    model.remove(key);
                });
                rows.replace(&keys.clone(), &batch, keys).unwrap();
                new
            }
            Change::Warm(keys) => {
                rows.warm(&keys).unwrap();
                for key in keys {
                    assert_eq!(rows.places(key).len(), model.get(&key).map_or(0, Vec::len));
                }
                Vec::new()
            }
            Change::Settle => {
                rows.cold.settle().unwrap();
                Vec::new()
            }
        };
        for (key, value) in new {
            model.entry(key).or_default().push(value);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Whatever was loaded, appended, replaced, moved and merged, each key has the rows that a plain map has.
        #[test]
        fn behaves_like_a_map(
            is_small: bool,
            loaded in prop::collection::vec(prop::collection::vec((0u32..40, any::<i64>()), 0..12), 0..6),
            changes in changes(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut model = Model::new();
            let mut rows = KeyedRows::new(&schema(), &tiers(dir.path(), is_small));
            for part in loaded {
                let (keys, values): (Vec<u32>, Vec<i64>) = part.iter().copied().unzip();
                rows.load(batch(&values), keys).unwrap();
                for (key, value) in part {
                    model.entry(key).or_default().push(value);
                }
            }
            rows.loaded().unwrap();
            let mut early: Vec<i64> = model.values().flatten().copied().collect();
            early.sort_unstable();
            let view = rows.view();
            for step in changes {
                change(&mut rows, &mut model, step);
                let mut now: Vec<i64> = model.values().flatten().copied().collect();
                now.sort_unstable();
                prop_assert_eq!(all(&rows.view()), &now[..]);
                prop_assert_eq!(parts(&rows.view()), &now[..]);
                prop_assert_eq!(rows.len(), now.len());
            }
            for (key, expected) in &model {
                let mut expected = expected.clone();
                expected.sort_unstable();
                prop_assert_eq!(rows.count(*key), expected.len());
                prop_assert_eq!(values(&rows.gather(&[*key]).unwrap()), expected);
            }
            let keys: Vec<u32> = model.keys().copied().collect();
            prop_assert_eq!(values(&rows.gather(&keys).unwrap()), all(&rows.view()));
            prop_assert_eq!(all(&view), early);
        }
    }

    #[test]
    fn many_small_changes_leave_few_chunks() {
        let dir = tempfile::tempdir().unwrap();
        let mut rows = KeyedRows::new(&schema(), &tiers(dir.path(), false));
        for round in 0..2_000 {
            rows.replace(&[round % 50], &batch(&[i64::from(round)]), vec![round % 50]).unwrap();
        }
        assert_eq!(rows.len(), 50);
        assert!(rows.chunks.iter().flatten().count() <= TIERS.len() * (CHUNKS_MAX + 1));
    }

    #[test]
    fn rows_that_came_last_stay_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let mut rows = KeyedRows::new(&schema(), &tiers(dir.path(), true));
        for key in 0u32..5 {
            rows.append(&batch(&[0, 1, 2, 3, 4, 5]), vec![key; 6]).unwrap();
        }
        let in_memory: Vec<usize> = (0..5).map(|key| rows.places(key).len()).collect();
        // Twenty may be there: the oldest moved as soon as there were more than that.
        assert_eq!(in_memory, [0, 0, 6, 6, 6]);
        assert_eq!((0..5).map(|key| rows.count(key)).sum::<usize>(), 30);
    }

    #[test]
    fn memory_holds_few_rows_and_disk_few_parts() {
        let dir = tempfile::tempdir().unwrap();
        let mut rows = KeyedRows::new(&schema(), &tiers(dir.path(), true));
        let few: Vec<i64> = (0..7).collect();
        for round in 0u32..400 {
            let keys: Vec<u32> = (round..round + 7).collect();
            rows.append(&batch(&few), keys).unwrap();
            rows.cold.settle().unwrap();
            let hot: usize = rows.chunks.iter().flatten().map(Chunk::alive).sum();
            assert!(hot <= 20 + 7, "{hot} rows in memory");
            // Parts that are large enough stay as they are: 30 rows or more each.
            assert!(rows.cold.chunks().len() <= 3 + rows.len() / 30);
        }
        assert_eq!(rows.len(), 2_800);
    }
}
