//! The table `events_stream`: what the collector received, moved there from its log, in the shape of the export.
//!
//! Its commits carry the number of the last frame that is in it, so that a frame is moved exactly once, whenever
//! the process is killed. Each file holds one day, as in the daily export, so that a build knows which days have
//! changed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use clicktrail_engine::datafusion::Embedded;
use clicktrail_engine::delta::{
    Commit, DataFile, DeltaTable, Removal, Snapshot, TableWriter, WriterSettings, stored_schema,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rows::arrow_fault;
use crate::error::Result;
use crate::feeds::{DAY, STREAM};
use crate::warehouse::Warehouse;

/// A day of more files than this is written as one.
const FILES_MAX: usize = 24;

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
        })
    }

    /// Writes rows in the schema of the export.
    ///
    /// # Errors
    /// A full disk. Rows are missing then: the draft is of no use any more.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for (day, rows) in by_day(batch)? {
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
fn by_day(batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
    let Some(days) = batch.column_by_name(DAY).and_then(|days| days.as_string_view_opt()) else {
        return Ok(Vec::new());
    };
    let mut rows: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let mut before: Option<&str> = None;
    let is_one_day = days.iter().all(|day| {
        let day = day.unwrap_or_default();
        *before.get_or_insert(day) == day
    });
    if is_one_day {
        return Ok(before.map(|day| (day.to_owned(), batch.clone())).into_iter().collect());
    }
    for (row, day) in days.iter().enumerate() {
        rows.entry(day.unwrap_or_default()).or_default().push(row as u32);
    }
    rows.into_iter()
        .map(|(day, rows)| {
            let rows = take_record_batch(batch, &UInt32Array::from(rows)).map_err(arrow_fault)?;
            Ok((day.to_owned(), rows))
        })
        .collect()
}
