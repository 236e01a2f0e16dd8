//! The table `events_stream`: what the collector received, moved there from its log, in the shape of the export.
//!
//! Its commits carry the number of the last frame that is in it, so that a frame is moved exactly once, whenever
//! the process is killed. Each file holds one day, as in the daily export, so that a build knows which days have
//! changed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use clicktrail_engine::datafusion::Embedded;
use clicktrail_engine::delta::{
    Commit, DataFile, Removal, Snapshot, TableWriter, WriterSettings, stored_schema,
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

/// What is added to the table.
pub(crate) struct Stored<'a> {
    /// Rows in the schema of the export; each batch is asked for when the one before is written.
    pub(crate) batches: &'a mut dyn Iterator<Item = Result<RecordBatch>>,
    /// Last frame that they come from.
    pub(crate) seq: u64,
    /// What the frames say of their senders' numbering, in order.
    pub(crate) producers: Vec<Value>,
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

/// Adds rows. Makes the table where it is missing, also without rows.
pub(crate) fn append(
    warehouse: &Warehouse,
    engine: &Embedded,
    rows: Stored<'_>,
    at_micros: i64,
) -> Result<()> {
    let Stored { batches, seq, producers } = rows;
    let table = warehouse.table(STREAM.1);
    let base = table.snapshot()?;
    let mut note = StreamNote::of(base.as_ref());
    if base.is_some() && seq <= note.seq {
        return Ok(());
    }
    let schema = stored_schema(&clicktrail_ingest::schema::events())?;
    let sequence = Arc::default();
    let new_writer = || {
        let settings = WriterSettings::default();
        TableWriter::new(
            &table,
            base.as_ref(),
            Arc::clone(&schema),
            settings,
            Arc::clone(&sequence),
        )
    };
    let mut writers: BTreeMap<String, TableWriter> = BTreeMap::new();
    for batch in batches {
        for (day, rows) in by_day(&batch?)? {
            let writer = match writers.entry(day) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(new_writer()?),
            };
            writer.write(&rows)?;
        }
    }
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for (day, mut writer) in writers {
        if let Some(base) = &base {
            let files: Vec<DataFile> = base
                .files
                .iter()
                .filter(|file| note.days.get(&file.path) == Some(&day))
                .cloned()
                .collect();
            if files.len() >= FILES_MAX {
                removed.extend(files.iter().map(|file| file.path.clone()));
                let old = Snapshot { files, ..base.clone() };
                // A flipped bit must not get a checksum of its own.
                old.verify()?;
                copy(engine, old, &mut writer)?;
            }
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
        schema,
        partition_columns: Vec::new(),
        added,
        removed: if removed.is_empty() { Removal::Nothing } else { Removal::Files(removed) },
        note: serde_json::to_value(&note).unwrap_or_default(),
        at_millis: at_micros / 1000,
    };
    table.commit(base.as_ref(), commit)?;
    Ok(())
}

/// Writes the rows of a day's files again.
fn copy(engine: &Embedded, day: Snapshot, writer: &mut TableWriter) -> Result<()> {
    let session = engine.session()?;
    session.add_table("day", &day)?;
    let plan = session.plan("select * from day")?;
    Ok(session.run(&plan, &mut |rows| writer.write(&rows))?)
}

/// Rows of each day.
fn by_day(batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
    let Some(days) = batch.column_by_name(DAY).and_then(|days| days.as_string_view_opt()) else {
        return Ok(Vec::new());
    };
    let mut rows: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let day = if days.is_valid(row) { days.value(row) } else { "" };
        rows.entry(day).or_default().push(row as u32);
    }
    rows.into_iter()
        .map(|(day, rows)| {
            let rows = take_record_batch(batch, &UInt32Array::from(rows)).map_err(arrow_fault)?;
            Ok((day.to_owned(), rows))
        })
        .collect()
}
