//! The table `events_stream`: what the collector received, moved there from its log, in the shape of the export.
//!
//! Its commits carry the number of the last frame that is in it, so that a frame is moved exactly once, whenever
//! the process is killed. Each file holds one day, as in the daily export, so that a build knows which days have
//! changed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use clicktrail_engine::datafusion::Embedded;
use clicktrail_engine::delta::{
    Commit, DataFile, DeltaTable, Removal, Snapshot, TableWriter, WriterSettings, stored_schema,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::interleave::interleaved;
use super::rows::arrow_fault;
use crate::error::Result;
use crate::feeds::{DAY, STREAM};
use crate::warehouse::Warehouse;

/// A day of more files than this is written as one.
const FILES_MAX: usize = 24;

/// Rows that go into files together. Each row of the export has more than a hundred columns: few rows at a time would cost little
/// less than many.
const WRITTEN_ROWS: usize = 8_192;

/// What a commit of the table says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct StreamNote {
    /// Last frame that is in the table.
    seq: u64,
    /// Day of each file.
    days: BTreeMap<String, String>,
    /// By name of the sender: what its last frame said of its own numbering.
    producers: BTreeMap<String, Value>,
}

impl StreamNote {
    fn of(snapshot: Option<&Snapshot>) -> Self {
        snapshot
            .and_then(|snapshot| serde_json::from_value(snapshot.note.clone()).ok())
            .unwrap_or_default()
    }
}

/// The table, if there is one.
pub(crate) fn snapshot(warehouse: &Warehouse) -> Result<Option<Snapshot>> {
    warehouse.snapshot(STREAM.1)
}

/// The last frame that is in the table.
pub(crate) fn last_seq(warehouse: &Warehouse) -> Result<u64> {
    Ok(StreamNote::of(snapshot(warehouse)?.as_ref()).seq)
}

/// How far each sender's own numbering is.
pub(crate) fn producers(warehouse: &Warehouse) -> Result<Vec<Value>> {
    Ok(StreamNote::of(snapshot(warehouse)?.as_ref()).producers.into_values().collect())
}

/// Compares the table's files with their checksums: its events are nowhere else, so models must not be made of others.
pub(crate) fn verify(warehouse: &Warehouse) -> Result<()> {
    Ok(snapshot(warehouse)?.map_or(Ok(()), |table| table.verify())?)
}

/// Files of the next version of the table, which holds them from [`Draft::commit`] on. A draft that is dropped changes nothing; the
/// next commit deletes its files.
pub(crate) struct Draft {
    table: DeltaTable,
    base: Option<Snapshot>,
    schema: SchemaRef,
    sequence: Arc<AtomicU64>,
    writers: BTreeMap<String, TableWriter>,
    /// Rows that are in no file yet, and how many.
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
}

impl Draft {
    /// No rows yet.
    pub(crate) fn open(warehouse: &Warehouse) -> Result<Self> {
        let table = warehouse.table(STREAM.1);
        Ok(Self {
            base: table.snapshot()?,
            table,
            schema: stored_schema(&clicktrail_ingest::schema::events())?,
            sequence: Arc::default(),
            writers: BTreeMap::new(),
            waiting: Vec::new(),
            waiting_rows: 0,
        })
    }

    /// Takes in rows in the schema of the export.
    ///
    /// # Errors
    /// A full disk. Rows are missing then: the draft is of no use any more.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.waiting.push(batch.clone());
        self.waiting_rows += batch.num_rows();
        if self.waiting_rows < WRITTEN_ROWS { Ok(()) } else { self.write_waiting() }
    }

    fn write_waiting(&mut self) -> Result<()> {
        self.waiting_rows = 0;
        let batches = std::mem::take(&mut self.waiting);
        for (day, rows) in by_day(&clicktrail_ingest::schema::events(), &batches)? {
            let writer = match self.writers.entry(day) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(TableWriter::new(
                    &self.table,
                    self.base.as_ref(),
                    Arc::clone(&self.schema),
                    WriterSettings::default(),
                    Arc::clone(&self.sequence),
                )?),
            };
            writer.write(&rows)?;
        }
        Ok(())
    }

    /// Makes the rows part of the table: all that came up to the frame `seq`. `producers` is what frames say of their senders'
    /// numbering, in order. Makes the table where it is missing, also without rows; a frame that is there already adds nothing.
    pub(crate) fn commit(
        mut self,
        engine: &Embedded,
        seq: u64,
        producers: Vec<Value>,
        at_micros: i64,
    ) -> Result<()> {
        let mut note = StreamNote::of(self.base.as_ref());
        if self.base.is_some() && seq <= note.seq {
            return Ok(());
        }
        self.write_waiting()?;
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for (day, mut writer) in std::mem::take(&mut self.writers) {
            let old = self.base.as_ref().and_then(|base| day_of_many_files(base, &note, &day));
            if let Some(old) = old {
                removed.extend(old.files.iter().map(|file| file.path.clone()));
                // A flipped bit must not get a checksum of its own.
                old.verify()?;
                copy(engine, old, &mut writer)?;
            }
            for file in writer.finish()? {
                note.days.insert(file.path.clone(), day.clone());
                added.push(file);
            }
        }
        for path in &removed {
            note.days.remove(path);
        }
        note.seq = note.seq.max(seq);
        for producer in producers {
            if let Some(name) = producer["producer"].as_str() {
                note.producers.insert(name.to_owned(), producer.clone());
            }
        }
        let commit = Commit {
            schema: self.schema,
            partition_columns: Vec::new(),
            added,
            removed: if removed.is_empty() { Removal::Nothing } else { Removal::Files(removed) },
            note: serde_json::to_value(&note).unwrap_or_default(),
            at_millis: at_micros / 1000,
        };
        self.table.commit(self.base.as_ref(), commit)?;
        Ok(())
    }
}

/// The files of a day where there are so many that they are written as one.
fn day_of_many_files(base: &Snapshot, note: &StreamNote, day: &str) -> Option<Snapshot> {
    let is_of_day = |file: &&DataFile| note.days.get(&file.path).is_some_and(|of| of == day);
    let files: Vec<DataFile> = base.files.iter().filter(is_of_day).cloned().collect();
    (files.len() >= FILES_MAX).then(|| Snapshot { files, ..base.clone() })
}

/// Writes the rows of a day's files again.
fn copy(engine: &Embedded, day: Snapshot, writer: &mut TableWriter) -> Result<()> {
    let session = engine.session()?;
    session.add_table("day", &day)?;
    let plan = session.plan("select * from day")?;
    Ok(session.run(&plan, &mut |rows| writer.write(&rows))?)
}

/// Rows of each day: nearly always all are of one.
fn by_day(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<(String, RecordBatch)>> {
    let mut places: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
    for (number, batch) in batches.iter().enumerate() {
        let days = batch.column_by_name(DAY).and_then(|days| days.as_string_view_opt());
        for (row, day) in days.iter().flat_map(|days| days.iter()).enumerate() {
            places.entry(day.unwrap_or_default()).or_default().push((number, row));
        }
    }
    if let (1, Some((day, _))) = (places.len(), places.first_key_value()) {
        let rows = concat_batches(schema, batches).map_err(arrow_fault)?;
        return Ok(vec![((*day).to_owned(), rows)]);
    }
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let rows_of = |(day, places): (&str, Vec<(usize, usize)>)| {
        let rows = interleaved(schema, &batches, &places).map_err(arrow_fault)?;
        Ok((day.to_owned(), rows))
    };
    places.into_iter().map(rows_of).collect()
}
